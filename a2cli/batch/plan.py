"""From a command line to its edits: which there are and where each one goes, found before the first is made."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from a2cli.batch.forms import check_batch, get_records_folder, is_plain, is_single
from a2cli.batch.job import STDOUT, Item, Job, Refusal, get_item_seed, get_job_config, get_photo_seed
from a2cli.batch.manifest import check_file
from a2cli.batch.pairs import Partners
from a2cli.batch.photos import Photos
from a2cli.batch.targets import Survey, get_key, get_target
from a2cli.config.edit import EditConfig, check_source_form, has_piped_stdin
from a2cli.engine.outputs import get_base
from a2cli.errors import A2Error, ConfigError, DataError
from a2cli.files import show_name

__all__ = ["Plan", "get_records_folder", "plan_jobs"]


class Plan:
    """The edits of a run, in order, made anew each time they are asked for.

    total: how many edits and refusals come. records: the folder of results.jsonl and failures.jsonl. single: one plain
    edit, of which no records are written.
    """

    def __init__(
        self, entries: Callable[[], Iterator[Job | Refusal]], total: int, records: Path, *, single: bool
    ) -> None:
        self._entries = entries
        self.total: int | None = total
        self.records, self.single = records, single

    def __iter__(self) -> Iterator[Job | Refusal]:
        return self._entries()


def plan_jobs(config: EditConfig, stdin: Callable[[], bytes]) -> Plan:
    """Find every photo, pair it with masks and references, and name every output; of each edit only names are held.

    `stdin` is called for the manifest "-". An item that cannot be planned becomes a `Refusal`. Raises `ConfigError`
    where the command line as a whole cannot be: nothing is found, no photo has a mask or a reference, two photos would
    become one file.
    """
    if is_single(config):
        job = _get_plain_job(config)
        return Plan(lambda: iter((job,)), 1, get_records_folder(config), single=True)
    planner = _Planner(config, stdin)
    planner.survey()
    return Plan(planner.list_entries, planner.total, get_records_folder(config), single=False)


def _get_plain_job(config: EditConfig) -> Job:
    source = config.sources[0] if config.sources else None
    # A photo that nobody named is looked for on stdin when the edit reads it, then in the mask.
    own = source if source is not None else "-" if has_piped_stdin() else config.mask or "-"
    known = config.out != STDOUT and (source is not None or not has_piped_stdin())
    out = str(get_base(config, own)) if known and own != "-" else config.out
    return Job(
        id=own,
        source=source,
        ref=config.refs[0],
        out=out,
        mask=config.mask,
        ref_mask=config.ref_mask,
        prompt=config.prompt,
        seed=get_photo_seed(config.seed, own),
        save_region=config.save_region,
        save_attention=config.save_attention,
    )


class _Planner:
    """What a command line of several edits, or of one that is recorded, asks for."""

    def __init__(self, config: EditConfig, stdin: Callable[[], bytes]) -> None:
        check_batch(config)
        self.config, self.plain, self.total = config, is_plain(config), 0
        self._photos = Photos(config, stdin)
        self._partners = Partners(config)
        self._survey = Survey()

    def survey(self) -> None:
        """Go through all edits, twice where names clash; `ConfigError` where no manifest's line is at fault."""
        limit = self.config.batch.limit
        jobs = 0
        for _, entry in self._list_named():
            if isinstance(entry, Job):
                self._survey.note(entry)
            if self._is_ours(entry.id) and (limit is None or jobs < limit):
                self.total += 1
                jobs += isinstance(entry, Job)
        self._partners.check_found()
        if self._survey.settle_names():
            for _, entry in self._list_named():
                if isinstance(entry, Job):
                    self._survey.note_final(entry)
        self._survey.settle()
        if not self._survey.lost or self._photos.manifest is not None:
            return
        for _, entry in self._list_named():
            if isinstance(entry, Job) and (lost := self._survey.get_lost(entry)):
                raise self._refuse_clash(entry, lost)

    def list_entries(self) -> Iterator[Job | Refusal]:
        """Every edit of this part of the work, up to the limit, in order; a line's faults become refusals."""
        left = self.config.batch.limit
        ids: set[str] = set()  # of those alone that stand twice
        outs: set[int] = set()
        for item, entry in self._list_named():
            if left == 0:
                return
            ours = self._is_ours(entry.id)
            if isinstance(entry, Job) and item is not None and item.line is not None:
                entry = self._check_record(item, entry, ids, outs, ours)
            if ours:
                left = left if left is None or isinstance(entry, Refusal) else left - 1
                yield entry

    def _list_named(self) -> Iterator[tuple[Item | None, Job | Refusal]]:
        """Every edit with its item; where the survey has seen its name taken, with the longer one."""
        for found in self._photos.list_items():
            if isinstance(found, Refusal):
                yield None, found
                continue
            try:
                item = self._photos.fill(found)
                mask = self._partners.get_mask(item)
                chosen = [
                    (*pair, self._partners.get_ref_mask(item, pair[1]))
                    for pair in self._partners.get_refs(item)
                ]
            except DataError as error:
                yield None, _refuse(found, error)
                continue
            for label, ref, ref_mask in chosen:
                job = self._build_job(item, label, ref, mask, ref_mask, whole=False)
                if not item.places and not self.plain and self._survey.is_taken(job):
                    job = self._build_job(item, label, ref, mask, ref_mask, whole=True)
                yield item, job

    def _build_job(
        self, item: Item, label: str, ref: str, mask: str | None, ref_mask: str | None, *, whole: bool
    ) -> Job:
        config = self.config
        target = get_target(config, item, label, whole=whole, plain=self.plain)
        seed = item.seed
        if seed is None and item.named:
            seed = get_item_seed(config.seed, item.id)
        elif seed is None:
            seed = get_photo_seed(config.seed, item.source or item.mask or "-")
        return Job(
            id=f"{item.id}+{label}" if label else item.id,
            source=item.source,
            ref=ref,
            out=target.out,
            mask=mask,
            ref_mask=ref_mask,
            prompt=config.prompt if item.prompt is None else item.prompt,
            seed=seed,
            save_region=target.save_region,
            save_attention=target.save_attention,
        )

    def _check_record(self, item: Item, job: Job, ids: set[str], outs: set[int], ours: bool) -> Job | Refusal:
        """The edit of a manifest's line, or why it is none; of those of other parts only the names count."""
        try:
            self._check_names(job, ids, outs)
            if ours and item.root is not None:
                for path in (item.source, item.mask, item.ref_mask, *(item.refs or ())):
                    check_file(path, item.root)
                check_file(job.out, item.root if self.config.out is None else self.config.out)
            check_source_form(get_job_config(self.config, job))
        except A2Error as error:
            return _refuse(replace(item, id=job.id), error)
        return job

    def _check_names(self, job: Job, ids: set[str], outs: set[int]) -> None:
        """`A2Error` for an id that stood before, an output that another edit has, and one that an edit reads."""
        if hash(job.id) in self._survey.repeated_ids:
            if job.id in ids:
                raise DataError(
                    f"{show_name(job.id)}: the id stands twice", hint='give each line its own "id"'
                )
            ids.add(job.id)
        if lost := self._survey.get_lost(job):
            if get_key(lost) in outs or self._survey.is_input(lost):
                raise self._refuse_clash(job, lost)
            outs.add(get_key(lost))

    def _refuse_clash(self, job: Job, path: str) -> ConfigError:
        if self._survey.is_input(path):
            cause, hint = "an input of this run would be replaced", "choose another name"
        elif self._photos.manifest is not None:
            cause, hint = "two lines would write it", 'give each an "id" or an "out"'
        else:
            cause = "two photos would become it"
            hint = "name the folder they lie in, which is mirrored; or make it in two runs"
        shown = show_name(job.source or job.mask or "")
        return ConfigError(f"{shown}: its output is {show_name(path)}, and {cause}", hint=hint)

    def _is_ours(self, id: str) -> bool:
        shard = self.config.batch.shard
        if shard is None:
            return True
        digest = hashlib.sha256(id.encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(digest[:8], "big") % shard[1] == shard[0] - 1


def _refuse(item: Item, error: A2Error) -> Refusal:
    place = "" if item.line is None else f"line {item.line}: "
    return Refusal(item.id, f"{place}{error}", item.line)
