"""Rendered videos and stills whose subject is known to the pixel: a textured thing that moves before a moving camera.

Subjects are blobs, stars and figures with limbs; they turn, bend and swing. Grounds are photographs or textures
under pan, zoom and slight rotation. On top come a cast shadow, shading, flicker, sensor noise and the codec.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from a2cli.building.records import Item, View

LOCAL = 192  # pixels a side of a part's own canvas, which spans [-1, 1]
SIDE = 320  # pixels of a ground's short side
PHOTOS = ("astronaut", "coffee", "chelsea", "rocket", "brick", "grass", "gravel")


@cache
def load_ground(name: str) -> np.ndarray:
    """A photograph of scikit-image, (h, w, 3) uint8, short side SIDE; the grey ones toned in earthen colours."""
    from skimage import data

    image = np.asarray(getattr(data, name)())
    if image.ndim == 2:
        tone = {"brick": (150, 92, 70), "grass": (96, 122, 52), "gravel": (134, 124, 106)}[name]
        image = (image[..., None] / 255.0 * 1.7 * np.array(tone)).clip(0, 255).astype(np.uint8)
    scale = SIDE / min(image.shape[:2])
    return cv2.resize(image[..., :3], None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def make_texture(rng: np.random.Generator, side: int = LOCAL) -> np.ndarray:
    """Cloth, fur or spots in two or three colours: (side, side, 3) uint8."""
    coarse = sum(
        cv2.resize(
            rng.normal(0, 1, (cells, cells)).astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC
        )
        / level
        for level, cells in ((1, 4), (2, 11), (3, 29), (4, 67))
    )
    y, x = np.mgrid[0:side, 0:side] / side
    angle, waves = rng.uniform(0, math.pi), rng.uniform(3, 11)
    stripes = np.sin(2 * math.pi * waves * (x * math.cos(angle) + y * math.sin(angle)) + coarse)
    field = {0: coarse, 1: coarse + 0.8 * stripes, 2: 1.5 * stripes}[int(rng.integers(3))]
    colours = rng.uniform(25, 225, (3, 1)) + rng.normal(0, 32, (3, 3))  # muted: light differs more than hue
    share = np.clip((field - field.mean()) / (2.5 * field.std()) + 0.5, 0, 1)[..., None]
    texture = (1 - share) * colours[0] + share * colours[1]
    third = (coarse > np.quantile(coarse, rng.uniform(0.7, 0.95)))[..., None]
    texture = np.where(third, 0.3 * texture + 0.7 * colours[2], texture)
    return np.clip(texture, 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Part:
    """A piece of the subject: its mask and colours on the local canvas, and how it swings about its joint."""

    mask: np.ndarray
    colours: np.ndarray
    joint: tuple[float, float] = (0.0, 0.0)
    swing: float = 0.0
    pace: float = 0.0
    phase: float = 0.0


def make_subject(rng: np.random.Generator, kind: str) -> list[Part]:
    """Parts from back to front: a "blob", a "star" (polygon), a "figure" with head and limbs, or "none"."""
    y, x = np.mgrid[0:LOCAL, 0:LOCAL] / (LOCAL - 1) * 2 - 1
    angle, radius = np.arctan2(y, x), np.hypot(x, y)
    if kind == "none":
        return []
    if kind == "figure":
        return _make_figure(rng)
    if kind == "blob":
        rim = 0.72 + sum(
            rng.normal(0, 0.16 / k) * np.cos(k * angle + rng.uniform(0, 6.3)) for k in range(2, 7)
        )
        mask = radius < np.clip(rim, 0.3, 0.97)
    else:
        corners = int(rng.integers(4, 8))
        turns = np.sort(
            rng.uniform(0, 2 * math.pi, corners) * 0.3 + np.arange(corners) * 2 * math.pi / corners
        )
        reach = rng.uniform(0.6, 0.95, corners)
        points = np.stack([np.cos(turns) * reach, np.sin(turns) * reach], -1)
        mask = np.zeros((LOCAL, LOCAL), np.uint8)
        cv2.fillPoly(mask, [np.rint((points + 1) / 2 * (LOCAL - 1)).astype(np.int32)], 1)
    return [Part(mask.astype(np.float32), make_texture(rng))]


def _make_figure(rng: np.random.Generator) -> list[Part]:
    def draw(start: tuple[float, float], stop: tuple[float, float], width: float) -> np.ndarray:
        mask = np.zeros((LOCAL, LOCAL), np.uint8)
        ends = [tuple(round((v + 1) / 2 * (LOCAL - 1)) for v in p) for p in (start, stop)]
        cv2.line(mask, ends[0], ends[1], 1, round(width * LOCAL / 2), cv2.LINE_8)
        return mask.astype(np.float32)

    shirt, trousers, skin = (make_texture(rng) for _ in range(3))
    pace = rng.uniform(3, 7)
    parts = []
    for side in (-1, 1):
        hip, shoulder = (side * 0.12, 0.2), (side * 0.22, -0.38)
        leg = draw(hip, (side * 0.2, 0.84), rng.uniform(0.18, 0.26))
        arm = draw(shoulder, (side * 0.42, 0.12), rng.uniform(0.14, 0.2))
        parts.append(Part(leg, trousers, hip, rng.uniform(0.2, 0.5), pace, side * math.pi / 2))
        parts.append(Part(arm, skin if side < 0 else shirt, shoulder, rng.uniform(0.3, 0.8), pace, -side))
    parts.append(Part(draw((0, -0.32), (0, 0.18), rng.uniform(0.46, 0.6)), shirt))
    parts.append(Part(draw((0, -0.72), (0, -0.66), rng.uniform(0.36, 0.46)), skin, (0, -0.4), 0.15, pace / 2))
    return parts


@dataclass(frozen=True)
class Scene:
    """One film, a pure function of time: `render(t)` gives (H, W, 3) uint8 and the subject's mask (H, W) bool.

    `pan` scales the camera's motion, `travel` the subject's way through the frame, `radius` is a share of the short
    side. `like_ground` in [0, 1] gives the subject the ground's own colours.
    """

    seed: int
    size: tuple[int, int] = (192, 256)
    blurred: tuple[tuple[float, float], ...] = ()
    kind: str = ""
    ground: str = ""
    pan: float = 1.0
    travel: float = 1.0
    radius: float = 0.0
    like_ground: float = 0.0
    noise: float = 3.0
    parts: list[Part] = field(default_factory=list, init=False, repr=False)
    drawn: dict[str, float] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng([self.seed, 77])
        kind = self.kind or ("blob", "star", "figure")[self.seed % 3]
        self.parts.extend(make_subject(rng, kind))
        for name, low, high in (
            ("ground", 0, len(PHOTOS)), ("east", -60, 60), ("south", -22, 22), ("zoom", -0.08, 0.08),
            ("roll", -0.03, 0.03), ("jitter", 0.4, 1.4), ("start", 0, 6.3), ("pace", 0.9, 2.0),
            ("across", 0.12, 0.26), ("down", 0.05, 0.12), ("turn", 0.15, 0.45), ("tilt", 0.1, 0.5),
            ("wave", 0.0, 0.12), ("radius", 0.24, 0.4), ("shadow", 0.0, 0.4), ("light", 0, 6.3),
            ("flicker", 0.0, 0.03), ("home", -0.1, 0.1),
        ):  # fmt: skip
            self.drawn[name] = float(rng.uniform(low, high))

    def render(self, time: float) -> tuple[np.ndarray, np.ndarray]:
        """The frame at `time` s, and the truth."""
        frame, mask = self._draw(time)
        if any(start <= time <= stop for start, stop in self.blurred):
            moments = [self._draw(time + away)[0] for away in (-0.05, -0.033, -0.017, 0.017, 0.033, 0.05)]
            frame = cv2.GaussianBlur(np.mean([frame, *moments], axis=0), (0, 0), 0.012 * min(self.size))
        rng = np.random.default_rng([self.seed, 78, round(time * 1e4) + 10**6])
        gain = 1 + self.drawn["flicker"] * math.sin(9.1 * time + self.drawn["start"])
        noise = rng.standard_normal(frame.shape, dtype=np.float32)
        return np.clip(np.rint(frame * gain + self.noise * noise), 0, 255).astype(np.uint8), mask

    def get_mask(self, time: float) -> np.ndarray:
        """The truth alone."""
        return self._sample(time, *self._get_local(time))[1] > 0.5

    def _draw(self, time: float) -> tuple[np.ndarray, np.ndarray]:
        frame = self._draw_ground(time, self.size)
        x, y = self._get_local(time)
        colours, alpha = self._sample(time, x, y)
        reach = round(0.1 * self.drawn["radius"] * self.size[0])
        shadow = np.roll(cv2.GaussianBlur(alpha, (0, 0), 0.02 * self.size[0]), (reach, reach), (0, 1))
        frame *= (1 - self.drawn["shadow"] * shadow)[..., None]
        light = 1 + 0.25 * (x * math.cos(self.drawn["light"]) + y * math.sin(self.drawn["light"]))
        colours *= np.clip(light, 0.6, 1.4)[..., None]
        if self.like_ground:
            shown = colours[alpha > 0.5] if (alpha > 0.5).any() else colours.reshape(-1, 3)
            level, spread = frame.mean((0, 1)), frame.std((0, 1))
            alike = (colours - shown.mean(0)) / (shown.std(0) + 1) * spread + level
            colours = (1 - self.like_ground) * colours + self.like_ground * alike
        frame += (colours - frame) * alpha[..., None]
        return frame, alpha > 0.5

    def _draw_ground(self, time: float, size: tuple[int, int]) -> np.ndarray:
        """The photograph as a camera sees it that pans, zooms, rolls and is held by hand."""
        drawn, (height, width) = self.drawn, size
        photo = load_ground(self.ground or PHOTOS[int(drawn["ground"])])
        sway = [math.sin(r * time + drawn["start"]) for r in (5.3, 7.9, 11.2)]
        scale = SIDE / (1.35 * max(height, width / 1.5)) * (1 + self.pan * drawn["zoom"] * (time - 1.5))
        angle = self.pan * drawn["roll"] * (time - 1.5) + 0.004 * sway[0]
        centre = np.array([photo.shape[1], photo.shape[0]]) / 2
        speed = height / 192 * scale  # px of the photograph for one px a second in a frame of 192 rows
        centre = centre + self.pan * speed * (time - 1.5) * np.array([drawn["east"], drawn["south"]])
        centre = centre + drawn["jitter"] * speed * np.array([sway[1] + 0.5 * sway[2], sway[0] - sway[2]])
        cosine, sine = scale * math.cos(angle), scale * math.sin(angle)
        matrix = np.array([[cosine, -sine, 0], [sine, cosine, 0]])
        matrix[:, 2] = centre - matrix[:, :2] @ np.array([width / 2, height / 2])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        seen = cv2.warpAffine(photo, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT_101)
        return seen.astype(np.float32)

    def _get_local(self, time: float) -> tuple[np.ndarray, np.ndarray]:
        """The subject's own coordinates of each pixel, float32."""
        drawn, (height, width) = self.drawn, self.size
        beat = drawn["pace"] * time + drawn["start"]
        across = width * (0.5 + drawn["home"] + self.travel * drawn["across"] * math.sin(beat))
        down = height * (0.5 + self.travel * drawn["down"] * math.sin(1.7 * beat + 1))
        radius = (self.radius or drawn["radius"]) * min(height, width)
        angle = drawn["tilt"] * math.sin(1.3 * beat) * max(self.travel, 0.5)
        narrow = 1 - drawn["turn"] * (0.5 + 0.5 * math.sin(0.9 * beat + 2))
        grow = radius * (1 + 0.12 * math.sin(0.7 * beat))
        y, x = np.mgrid[0:height, 0:width].astype(np.float32)
        x, y = (x - across) / grow, (y - down) / grow
        x, y = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
        return x / narrow + drawn["wave"] * np.sin(3 * y + 3 * beat), y

    def _sample(self, time: float, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """All parts over each other: colours (h, w, 3) and coverage (h, w), float32."""
        colours = np.zeros((*x.shape, 3), np.float32)
        alpha = np.zeros(x.shape, np.float32)
        for part in self.parts:
            angle = part.swing * math.sin(part.pace * time + part.phase)
            u, v = x - part.joint[0], y - part.joint[1]
            u, v = u * math.cos(angle) + v * math.sin(angle), v * math.cos(angle) - u * math.sin(angle)
            maps = [
                ((c + joint + 1) / 2 * (LOCAL - 1)).astype(np.float32)
                for c, joint in zip((u, v), part.joint, strict=True)
            ]
            mask = cv2.remap(part.mask, *maps, cv2.INTER_LINEAR)[..., None]
            painted = cv2.remap(part.colours, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
            colours = colours * (1 - mask) + painted * mask
            alpha = np.maximum(alpha, mask[..., 0])
        return colours, alpha


@dataclass(frozen=True)
class Truth:
    """What a rendered video shows."""

    scene: Scene
    seconds: float
    fps: int

    def get_mask(self, time: float) -> np.ndarray:
        """The subject at `time` s, (H, W) bool: of the frame that stands then."""
        return self.scene.get_mask(round(time * self.fps) / self.fps)


def render_video(
    path: Path,
    seed: int,
    *,
    blurred: tuple[tuple[float, float], ...] = (),
    seconds: float = 3.0,
    size: tuple[int, int] = (192, 256),
    fps: int = 15,
    **scene: object,
) -> Truth:
    """Render and encode a film (H.264, or MPEG-4 where PyAV lacks it); `blurred` are spans in s."""
    import av

    film = Scene(seed, size, blurred, **scene)  # type: ignore[arg-type]
    codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps)
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        if codec == "libx264":
            stream.options = {"crf": "20", "preset": "veryfast", "threads": "1"}
        else:
            stream.bit_rate = 4_000_000
        for number in range(round(seconds * fps)):
            rgb, _ = film.render(number / fps)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        container.mux(stream.encode(None))
    return Truth(film, seconds, fps)


def load_views(path: Path, *, frames: int = 12, apart: float = 0.1) -> tuple[View, ...]:
    """Evenly spaced frames of a video with the ones `apart` s before and after, as the pipeline's reader gives them."""
    import av

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        decoded = [(float(f.time), f.to_ndarray(format="rgb24")) for f in container.decode(stream)]
    times = np.array([time for time, _ in decoded])
    views = []
    for chosen in np.unique(np.linspace(0, len(times) - 1, frames).round().astype(int)):
        moment = times[chosen]
        near = {int(np.abs(times - (moment + side * apart)).argmin()) for side in (-1, 1)} - {int(chosen)}
        views.append(
            View(
                f"{path.stem}@{moment:.3f}",
                decoded[chosen][1],
                time=float(moment),
                neighbours=tuple(decoded[n][1] for n in sorted(near)),
            )
        )
    return tuple(views)


def make_item(path: Path, **options: object) -> Item:
    """The video as the pipeline's item."""
    return Item(path.stem, path.stem, load_views(path, **options), category="animals")  # type: ignore[arg-type]


def make_still(
    seed: int, *, ground: str = "", size: tuple[int, int] = (192, 256)
) -> tuple[np.ndarray, np.ndarray]:
    """A subject on a photograph, or on a "plain" ground: rgb (H, W, 3) uint8 and its mask (H, W) bool."""
    scene = Scene(seed, size, ground="" if ground == "plain" else ground, radius=0.38, travel=0.3)
    rgb, mask = scene.render(seed % 7 * 0.37)
    if ground == "plain":
        rng = np.random.default_rng([seed, 79])
        flat = rng.uniform(60, 250, 3) + rng.normal(0, 1.5, rgb.shape)
        soft = cv2.GaussianBlur(mask.astype(np.float32), (3, 3), 0.7)[..., None]
        rgb = np.clip(rgb * soft + flat * (1 - soft), 0, 255).astype(np.uint8)
    return rgb, mask
