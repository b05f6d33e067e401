"""A judge on this machine: a vision-language model of transformers, asked through its own chat template."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from a2cli.backbones.loading import hash_weights
from a2cli.errors import BackboneError
from a2cli.evaluation.judge.model import Words
from a2cli.evaluation.judge.questions import Ask, get_closing
from a2cli.files import show_name
from a2cli.metrics.models import get_device, get_model_name, load_model, load_processor
from a2cli.remote.calls import CallError, Fault

MOST_TOKENS = 512  # of an answer
REMEDY = "name a vision-language model with a chat template, such as Qwen/Qwen2.5-VL-7B-Instruct"


class LocalModel:
    """A loaded model with its processor; greedy, one ask at a time, weights in bfloat16 on CUDA."""

    def __init__(self, model: Any, processor: Any, source: str, device: str) -> None:
        self.model = model
        self.processor = processor
        self.device = device
        folder = Path(source).expanduser()
        own = f" {hash_weights(folder)}" if folder.is_dir() else ""  # a hub id says its commit
        self.identity = f"{get_model_name(model, source)}{own}"
        self.name = f"{get_model_name(model, source)}{own[:13]}, transformers {version('transformers')}"

    def answer(self, ask: Ask, nudge: int) -> Words:
        """Ask once. Raises `CallError` when the model fails on it (out of memory, more than it can take in)."""
        import torch

        try:
            inputs = self.build_inputs(ask, nudge)
            with torch.inference_mode():
                ids = self.model.generate(**inputs, generation_config=self._get_generation())
            length = inputs["input_ids"].shape[1]
            text = self.processor.tokenizer.decode(ids[0, length:], skip_special_tokens=True)
        except Exception as error:  # those of templates, processors and models have no common base
            line = show_name((str(error).strip() or type(error).__name__).splitlines()[0])
            raise CallError(Fault("silent", f"{self.name} fails: {line}"), again=False) from error
        said = ids.shape[1] - length
        return Words(text, (length, said), cut=said >= MOST_TOKENS)

    def build_inputs(self, ask: Ask, nudge: int = 0) -> Any:
        """The tensors of an ask, on the model's device: its parts in order as one user's turn."""
        content: list[dict[str, Any]] = []
        for part in (*ask.parts, get_closing(ask.question, nudge=nudge > 0)):
            if isinstance(part, str):
                content.append({"type": "text", "text": f"{part}\n"})
            else:
                content.append({"type": "image", "image": Image.fromarray(np.ascontiguousarray(part))})
        inputs = self.processor.apply_chat_template(
            [{"role": "user", "content": content}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )
        return inputs.to(self.device, self.model.dtype)

    def _get_generation(self) -> Any:
        """Greedy, whatever the model's own settings are; its tokens that end an answer are kept."""
        from transformers import GenerationConfig

        own = self.model.generation_config
        ends = own.eos_token_id if own.eos_token_id is not None else self.processor.tokenizer.eos_token_id
        first = ends[0] if isinstance(ends, list) else ends
        return GenerationConfig(
            do_sample=False,
            max_new_tokens=MOST_TOKENS,
            eos_token_id=ends,
            pad_token_id=own.pad_token_id if own.pad_token_id is not None else first,
            bos_token_id=own.bos_token_id,
        )


def load_judge(source: str, device: str) -> LocalModel:
    """Open a vision-language model: a folder or a hub id, safetensors only, pictures read without torchvision.

    Raises what `load_model` raises, and `BackboneError` for a model that takes no pictures or has no chat template.
    """
    from transformers import AutoModelForImageTextToText

    device = get_device(device)
    model = load_model(_HalfOnCuda(AutoModelForImageTextToText, device), source, device)
    processor = load_processor(build_processor, source, config=model.config)
    if not processor.chat_template:
        raise BackboneError(f"{show_name(source)}: has no chat template", hint=REMEDY)
    return LocalModel(model, processor, source, device)


def build_processor(source: str, *, config: Any, **reach: bool) -> Any:
    """A model's processor from its parts: Pillow's image processor, the tokenizer, nothing for videos.

    What reads videos needs torchvision, and no video is shown to a judge. `reach` goes to every `from_pretrained`.
    """
    from transformers import AutoImageProcessor, AutoTokenizer
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

    if type(config) not in PROCESSOR_MAPPING:
        raise BackboneError(f"{show_name(source)}: takes no pictures with words", hint=REMEDY)
    kind = _get_still(PROCESSOR_MAPPING[type(config)])
    parts = {
        "image_processor": AutoImageProcessor.from_pretrained(source, backend="pil", **reach),
        "tokenizer": AutoTokenizer.from_pretrained(source, **reach),
    }
    settings, options = kind.get_processor_dict(source, **reach)
    processor = kind.from_args_and_dict([parts.get(n) for n in kind.get_attributes()], settings, **options)
    if processor.chat_template is None:
        processor.chat_template = parts["tokenizer"].chat_template
    return processor


def _get_still(kind: Any) -> Any:
    """A processor class that takes None for the parts that are not there."""

    class Still(kind):
        def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> Any:
            return (
                argument
                if argument is None
                else super().check_argument_for_proper_class(argument_name, argument)
            )

    return Still


class _HalfOnCuda:
    """An Auto class whose models come in bfloat16 on CUDA: half the memory, and no mark needs more digits."""

    def __init__(self, cls: Any, device: str) -> None:
        self.cls = cls
        self.device = device

    def from_pretrained(self, source: str, **options: Any) -> Any:
        import torch

        if self.device.startswith("cuda"):
            options["dtype"] = torch.bfloat16
        return self.cls.from_pretrained(source, **options)
