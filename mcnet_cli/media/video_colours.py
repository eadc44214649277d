"""What a video's header says about its colours, and the filters that bring them to a screen's: BT.709, SDR.

ffmpeg itself honours the matrix and the range. It leaves alone how bright and how wide colours are, so that
HDR films of phones look washed out.
"""

import re
from dataclasses import dataclass
from typing import Any

from mcnet_cli.media.ffmpeg import has_filter
from mcnet_cli.media.frames import Matrix

# "Stream #0:0(und): Video: hevc (Main 10) (hvc1 / 0x3163), yuv420p10le(tv, bt2020nc/bt2020/smpte2084,
# progressive, left), 1920x1080"; of three equal names one is written, and of what is unknown nothing.
_STREAM = re.compile(
    r"^\[info\]\s+Stream #0\S*: Video: (?P<codec>\w+).*?, (?P<pixels>[a-z]\w+)"
    r"(?:\((?P<said>[^()]*(?:\([^()]*\)[^()]*)?)\))?, (?P<width>\d{2,})x(?P<height>\d{2,})(?P<rest>.*)$",
    re.M,
)
_NAMES = re.compile(r"[\w-]+/[\w-]+/[\w-]+|(bt|smpte)\w+")  # matrix, primaries, transfer
_UNKNOWN = "unknown"
_HDR = {"smpte2084": "PQ", "arib-std-b67": "HLG"}
_WIDE = {"bt2020", "smpte431", "smpte432"}  # primaries; the last two are those of Display P3
_FILTERS_NEEDED = ("zscale", "tonemap")
# Those that zscale knows by the same name; others are rare, and taken for the commonest.
_MATRICES = {"gbr", "bt709", "bt470bg", "smpte170m", "ycgco", "bt2020nc", "bt2020c"}
_TRANSFERS = {"bt709", "smpte170m", "iec61966-2-1", "linear", "bt2020-10", "bt2020-12", *_HDR}
# HDR films show white paper at 203 cd/m2 (BT.2408). 1000 is the peak of HLG, and of most films in PQ.
_WHITE_NITS, _PEAK_NITS = 203, 1000
# Below this part of white, where faces are, nothing changes; above, tone-mapping makes room for highlights.
_UNCHANGED = 0.5
_KEPT: dict[str, Matrix] = {"bt709": "bt709", "smpte170m": "smpte170m", "bt470bg": "smpte170m"}
_HD = (1280, 577)  # from here on players take untagged colours for BT.709, below for BT.601


@dataclass(frozen=True, slots=True)
class Colours:
    """How a video stores its frames, by ffmpeg's names; `unknown` where the header says nothing.

    pixels: the pixel format. is_full_range: whether levels go from 0 to 255 instead of 16 to 235. is_hd:
    whether the frames are larger than a DVD's. is_interlaced: whether they are made of two fields.
    """

    pixels: str = _UNKNOWN
    is_full_range: bool = False
    matrix: str = _UNKNOWN
    primaries: str = _UNKNOWN
    transfer: str = _UNKNOWN
    is_hd: bool = False
    is_interlaced: bool = False

    @property
    def is_hdr(self) -> bool:
        """Whether the brightest colours are brighter than a screen's white."""
        return self.transfer in _HDR

    @property
    def kept_matrix(self) -> Matrix | None:
        """The matrix of frames that films can hold as they are stored; None for those to be converted."""
        is_usual = self.pixels == "yuv420p" and not (self.is_full_range or self.is_interlaced)
        if not is_usual or self._needs_conversion:
            return None
        if self.matrix == _UNKNOWN:
            return "bt709" if self.is_hd else "smpte170m"
        return _KEPT.get(self.matrix)

    @property
    def warning(self) -> str | None:
        """What can't be done about the colours with this ffmpeg."""
        if not self._needs_conversion or all(map(has_filter, _FILTERS_NEEDED)):
            return None
        what = f"HDR ({_HDR[self.transfer]})" if self.is_hdr else f"of a wide gamut ({self.primaries})"
        return f"its colours are {what} and look pale: this ffmpeg has no filters zscale and tonemap"

    @property
    def _needs_conversion(self) -> bool:
        return self.is_hdr or self.primaries in _WIDE

    def applied(self, stream: Any, width: int, height: int) -> Any:
        """A graph's `stream` of this video's frames, scaled and in the colours of BT.709."""
        if self._needs_conversion and self.warning is None:
            return self._converted(stream).filter("scale", width, height)
        is_yuv = self.pixels.startswith(("yuv", "nv", "p0"))
        matrix = {"in_color_matrix": "bt709"} if self.is_hd and is_yuv and self.matrix == _UNKNOWN else {}
        return stream.filter("scale", width, height, **matrix)

    def _converted(self, stream: Any) -> Any:
        said = {
            "rangein": "full" if self.is_full_range or self.matrix == "gbr" else "limited",
            "matrixin": self.matrix if self.matrix in _MATRICES else "bt2020nc",
            "primariesin": self.primaries if self.primaries in {*_WIDE, "bt709"} else "bt2020",
            "transferin": self.transfer if self.transfer in _TRANSFERS else "bt709",
        }
        screen = {"range": "full", "matrix": "gbr", "primaries": "bt709", "transfer": "bt709"}
        if not self.is_hdr:
            return stream.filter("zscale", **said, **screen).filter("format", "gbrp")
        linear = {**screen, "transfer": "linear", "npl": _WHITE_NITS}
        peak = f"{_PEAK_NITS / _WHITE_NITS:.4g}"
        return (
            stream.filter("zscale", **said, **linear)
            .filter("format", "gbrpf32le")
            .filter("tonemap", "mobius", param=_UNCHANGED, peak=peak, desat=0)
            .filter("zscale", **screen)
            .filter("format", "gbrp")
        )


def colours_in(said: str) -> Colours:
    """The colours of the first video stream, cover art left out, in what ffmpeg logs about an input."""
    for found in _STREAM.finditer(said):
        if "(attached pic)" not in found["rest"]:
            return _colours(found)
    return Colours()


def _colours(stream: "re.Match[str]") -> Colours:
    words = [word.strip() for word in (stream["said"] or "").split(",")]
    named = next((word.split("/") for word in words if _NAMES.fullmatch(word)), [_UNKNOWN])
    matrix, primaries, transfer = named if len(named) == 3 else named * 3
    return Colours(
        pixels=stream["pixels"],
        is_full_range="pc" in words or stream["pixels"].startswith("yuvj"),
        matrix=matrix,
        primaries=primaries,
        transfer=transfer,
        is_hd=int(stream["width"]) >= _HD[0] or int(stream["height"]) >= _HD[1],
        is_interlaced=stream["codec"] == "dvvideo" or any(re.match("(top|bottom) ", word) for word in words),
    )
