"""`mcnet animate`: options to a request, the result to text or JSON."""

from pathlib import Path
from typing import Annotated

import typer

from mcnet_cli.cli._animate_options import (
    Audio,
    AudioTrack,
    Background,
    Compare,
    CropJson,
    DrivingCrop,
    DrivingFace,
    Face,
    FilmCodec,
    FilmQuality,
    Hwaccel,
    Metadata,
    NoAudio,
    OnNoFace,
    PictureKind,
    Size,
    SourceCrop,
    SourceFrame,
    Volume,
    framing_option,
)
from mcnet_cli.cli._console import console
from mcnet_cli.cli._options import (
    GAZE_HELP,
    AllowFetch,
    Brows,
    Device,
    Duration,
    End,
    Eyes,
    FadeIn,
    Json,
    Loop,
    Mouth,
    Overwrite,
    PingPong,
    Pitch,
    Precision,
    Quiet,
    Region,
    Return,
    Roll,
    Smile,
    Speed,
    Start,
    Strength,
    Verbose,
    Yaw,
    batch_size_option,
    detector_option,
    fetch_policy,
    motion_option,
    output_option,
    panel,
    time_option,
    weights_option,
)
from mcnet_cli.errors import UsageError

speed_option = panel("Speed and faults")


def animate(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="SOURCE... [DRIVING]",
            help="Portraits, then what moves them: a video, gif, folder of images, image or .motion file, or "
            "a motion by name (see mcnet motions). A portrait alone is moved by --yaw and the like, else by "
            "idle.",
            show_default=False,
        ),
    ],
    output: Annotated[
        str | None,
        output_option(
            "-o",
            "--output",
            metavar="FILE|FOLDER|PATTERN|-",
            help="A video (.mp4 .mov .mkv .webm), a .gif, an animated .webp, a pattern of pictures "
            "(out/%05d.png), a .png or .jpg if the result is one frame, a folder (ends with / or exists; "
            "needed for several sources), or - for raw y4m on stdout. Without it: SOURCE--DRIVING.mp4 in the "
            "current folder.",
        ),
    ] = None,
    overwrite: Overwrite = False,
    weights: Annotated[
        str | None,
        weights_option(
            "Weights of the network: a name (see mcnet fetch-weights --list), a file (official .pth.tar "
            "files work), or a file on the hub."
        ),
    ] = None,
    fetch: AllowFetch = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and render nothing.")
    ] = False,
    motion: Annotated[
        str,
        motion_option(
            "--motion",
            metavar="relative|absolute",
            help="relative: carry over the change from a reference frame; the source keeps its shape. "
            "absolute: the driving's keypoints as they are.",
        ),
    ] = "relative",
    adapt_scale: Annotated[
        bool,
        motion_option(
            "--adapt-scale/--no-adapt-scale",
            help="Scale relative motion by how large the source's face is beside the driving's.",
        ),
    ] = True,
    reference: Annotated[
        str,
        motion_option(
            "--reference",
            metavar="best|first|N",
            help="Driving frame that relative motion starts from. best: the one most like the source, or the "
            "mean of those about as like it. first: the first with a face. N: that frame, counted from 0.",
        ),
    ] = "best",
    region: Region = "all",
    strength: Strength = "1",
    smooth: Annotated[
        float | None,
        motion_option(
            "--smooth",
            metavar="SIGMA",
            help="Smooth the motion over time by a Gaussian: sigma in frames, 0 for none. Default: what "
            "hardly moves is steadied, fast motion stays as it is.",
        ),
    ] = None,
    gaze: Annotated[
        str,
        motion_option(
            "--gaze",
            metavar="driving|source|X,Y",
            help="driving: eyes turn as the driving's do. source: they go on looking where the source does. "
            + GAZE_HELP,
        ),
    ] = "driving",
    yaw: Yaw = None,
    pitch: Pitch = None,
    roll: Roll = None,
    mouth: Mouth = None,
    smile: Smile = None,
    eyes: Eyes = None,
    brows: Brows = None,
    save_motion: Annotated[
        Path | None,
        motion_option(
            "--save-motion",
            metavar="FILE.motion",
            help="Keep the motion, as edited in time and with --yaw and the like, to be used as DRIVING. "
            "It holds no picture and no sound.",
        ),
    ] = None,
    detector: Annotated[str, detector_option(framing_option)] = "blazeface",
    source_crop: SourceCrop = "auto",
    driving_crop: DrivingCrop = "auto",
    source_frame: SourceFrame = None,
    face: Face = None,
    driving_face: DrivingFace = "largest",
    crop_json: CropJson = None,
    on_no_face: OnNoFace = "hold",
    picture: PictureKind = "photo",
    background: Background = "still",
    compare: Compare = False,
    size: Size = None,
    start: Start = "0",
    end: End = None,
    max_frames: Annotated[
        int | None, time_option("--max-frames", metavar="N", help="At most so many driving frames.")
    ] = None,
    speed: Speed = 1.0,
    ping_pong: PingPong = False,
    loop: Loop = 1,
    duration: Duration = None,
    fade_in_motion: FadeIn = "0",
    return_: Return = False,
    fps: Annotated[
        str | None,
        time_option(
            "--fps",
            metavar="RATE",
            help="Frames a second: of a folder's images and of motions by name (default 25), or what a video "
            "is resampled to (default: its own, exactly; above it, the motion is interpolated). A number or "
            "a fraction such as 30000/1001.",
        ),
    ] = None,
    audio: Audio = None,
    no_audio: NoAudio = False,
    audio_track: AudioTrack = None,
    volume: Volume = "1",
    codec: FilmCodec = None,
    quality: FilmQuality = "high",
    hwaccel: Hwaccel = "none",
    metadata: Metadata = True,
    device: Device = "auto",
    precision: Precision = "auto",
    batch_size: Annotated[str, batch_size_option(speed_option)] = "auto",
    compile_: Annotated[
        bool,
        speed_option(
            "--compile",
            help="Compile the network first: about a minute, worth it for long clips. Needs a C++ compiler.",
        ),
    ] = False,
    strict: Annotated[
        bool,
        speed_option(
            "--strict", help="Fail if the driving is damaged, instead of using it as far as it goes."
        ),
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Make portraits move like the person in a driving video.

    Example: mcnet animate portrait.jpg driving.mp4 -o result.mp4
    """
    if audio and no_audio:
        raise UsageError("--audio and --no-audio contradict each other")
    if json and output == "-":
        raise UsageError("--json and -o - both want stdout", hint="write the result to a file")
    from mcnet_cli import animation  # torch loads here, not at --help
    from mcnet_cli.animation.command_line import parse_options
    from mcnet_cli.options import parse_faces

    chosen, face_drivings = parse_faces(face or ["largest"])
    # With drivings in --face there is none among the paths.
    has_driving = len(paths) > 1 and not face_drivings
    typed = {
        "weights": weights,
        "motion": motion,
        "adapt-scale": adapt_scale,
        "reference": reference,
        "region": region,
        "strength": strength,
        "smooth": smooth,
        "gaze": gaze,
        "yaw": yaw,
        "pitch": pitch,
        "roll": roll,
        "mouth": mouth,
        "smile": smile,
        "eyes": eyes,
        "brows": brows,
        "detector": detector,
        "source-crop": source_crop,
        "driving-crop": driving_crop,
        "source-frame": source_frame,
        "driving-face": driving_face,
        "on-no-face": on_no_face,
        "picture": picture,
        "background": background,
        "compare": compare,
        "size": size,
        "start": start,
        "end": end,
        "max-frames": max_frames,
        "speed": speed,
        "ping-pong": ping_pong,
        "loop": loop,
        "duration": duration,
        "fade-in-motion": fade_in_motion,
        "return": return_,
        "fps": fps,
        "audio-track": audio_track,
        "volume": volume,
        "codec": codec,
        "quality": quality,
        "hwaccel": hwaccel,
        "metadata": metadata,
        "device": device,
        "precision": precision,
        "batch-size": batch_size,
        "compile": compile_,
        "strict": strict,
    }
    request = animation.AnimationRequest(
        sources=tuple(paths[:-1] if has_driving else paths),
        driving=paths[-1] if has_driving else None,
        output=output,
        face=chosen,
        face_drivings=face_drivings,
        save_motion=save_motion,
        crop_json=crop_json,
        audio=audio or not no_audio,
        fetch=fetch_policy(fetch),
        overwrite=overwrite,
        **parse_options({name: value for name, value in typed.items() if value is not None}),
    )
    if dry_run:
        console.report(animation.plan(request))
        return
    console.report(animation.animate(request, console.progress))
