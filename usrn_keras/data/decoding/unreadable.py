"""Errors of files that cannot be read as images: damaged files, and sound files of other formats."""

from __future__ import annotations

from pathlib import Path

from usrn_keras.errors import DataError

READ_FORMATS = "JPEG, PNG, BMP, TIFF, WebP and GIF"


class ImageFormatError(DataError):
    """A file is no image, or an image of a format that is not read."""


def unreadable_error(path: Path | str, reason: object = "") -> DataError:
    """Create the error for a damaged file."""
    reason = f": {reason}" if reason else ""
    return DataError(
        f"{path} cannot be read as an image{reason}", hint="Copy the file again, or remove it from the lists."
    )


def empty_error(path: Path | str) -> DataError:
    """Create the error for a file without a byte."""
    return DataError(f"{path} is empty", hint="Copy the file again, or remove it from the lists.")


# Pictures that are not read, by the suffixes of their files.
UNREAD_SUFFIXES = {
    **dict.fromkeys((".heic", ".heif", ".hif", ".heics", ".heifs"), "HEIC"),
    **dict.fromkeys((".avif", ".avifs"), "AVIF"),
    **dict.fromkeys((".jp2", ".j2k", ".jpf", ".jpx", ".j2c", ".jpc", ".jpm"), "JPEG 2000"),
    **{".jxl": "JPEG XL", ".jxr": "JPEG XR", ".wdp": "JPEG XR", ".jls": "JPEG-LS", ".psd": "Photoshop"},
    **{".exr": "OpenEXR", ".hdr": "Radiance HDR", ".tga": "TGA", ".pcx": "PCX", ".ico": "ICO"},
    **{".svg": "SVG", ".eps": "EPS", ".dds": "DDS", ".qoi": "QOI", ".xcf": "GIMP"},
    **dict.fromkeys((".ppm", ".pgm", ".pbm", ".pnm", ".pam", ".pfm"), "PNM"),
    **dict.fromkeys((".dcm", ".dicom"), "DICOM"),
    **{".nii": "NIfTI", ".mha": "MetaImage", ".mhd": "MetaImage", ".nrrd": "NRRD"},
    **{".czi": "Zeiss CZI", ".lif": "Leica LIF", ".nd2": "Nikon ND2"},
    **dict.fromkeys((".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf", ".rw2", ".raf", ".pef"), "camera raw"),
}
_BRANDS = {  # of the ISO container, bytes 8 to 12
    **dict.fromkeys((b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"), "HEIC"),
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
}
_SIGNATURES = {
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"\xff\x0a": "JPEG XL",
    b"8BPS": "Photoshop",
    b"v/1\x01": "OpenEXR",
    b"#?RADIANCE": "Radiance HDR",
    b"%PDF": "PDF",
    b"<svg": "SVG",
}
CONVERT = "Convert it to JPEG or PNG, for example with `magick {name} {stem}.png` (ImageMagick)."


def name_unread_format(start: bytes) -> str:
    """Name the picture format that a file begins with, if it is known and not read; otherwise empty.

    Example:

    >>> name_unread_format(b"\\0\\0\\0\\x1cftypavif"), name_unread_format(b"\\xff\\xd8\\xff")
    ('AVIF', '')
    """
    if start[4:8] == b"ftyp":
        return _BRANDS.get(start[8:12], "")
    if start[128:132] == b"DICM":
        return "DICOM"
    return next((name for signature, name in _SIGNATURES.items() if start.startswith(signature)), "")


def unknown_format_error(path: Path | str) -> ImageFormatError:
    """Create the error for a file that begins like no known format."""
    return ImageFormatError(
        f"{path} cannot be read as an image: it does not begin like one; allowed are {READ_FORMATS}",
        hint="Copy the file again, or remove it from the lists.",
    )


def unread_format_error(path: Path | str, format: str) -> ImageFormatError:
    """Create the error for a sound file of a format that is not read."""
    path = Path(path)
    return ImageFormatError(
        f"{path} is an image in the format {format}, which is not read; allowed are {READ_FORMATS}",
        hint=CONVERT.format(name=path.name, stem=path.stem),
    )


def unread_compression_error(path: Path | str, compression: str) -> DataError:
    """Create the error for a sound TIFF whose pixels are compressed in a way that is not read."""
    return DataError(
        f"{path} is a TIFF with {compression} compression, which is not read; TIFFs are read uncompressed or "
        "with LZW, Deflate, PackBits or JPEG compression",
        hint="Convert it, for example with `tiffcp -c zip IN.tif OUT.tif` or `gdal_translate -co "
        "COMPRESS=DEFLATE IN.tif OUT.tif`.",
    )
