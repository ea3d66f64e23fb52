"""From a path to text: size limits, gzip, encoding, damage. Nothing is guessed about columns here.

Limits: files above 512 MB (also after gunzip), above 5 million lines, and files with NUL bytes are refused.
Encodings: UTF-8, and UTF-8 or UTF-16 with a byte order mark; any other bytes are refused with their lines.
"""

import codecs
import hashlib
import zlib
from dataclasses import dataclass
from pathlib import Path

from advisor.errors import InputError

MAX_BYTES = 512 * 2**20
MAX_LINES = 5_000_000
FORMATS = "CSV, TSV, .ts, Parquet, or .gz of these"
_CHUNK = 2**22
_TEXT_SUFFIXES = {".csv", ".tsv", ".ts", ".txt", ".dat", ".data", ""}
_CAN_RUN_CODE = {".pkl", ".pickle", ".pt", ".pth", ".npy", ".npz", ".joblib"}
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


@dataclass(frozen=True)
class Source:
    """A file before it is understood.

    Attributes:
        path: Where it lies.
        name: File name without `.gz` and suffix.
        suffix: Lower case, without `.gz`, such as ".csv".
        sha256: Of the bytes on disk.
        text: Decoded, without byte order mark; empty for Parquet.
        notes: What decoding changed.
    """

    path: Path
    name: str
    suffix: str
    sha256: str
    text: str
    notes: tuple[str, ...]


def open_source(path: Path) -> Source:
    """Read and decode `path` within the limits.

    Raises:
        InputError: Missing, empty, too large, damaged, in no known encoding, or of a kind that is not read.
    """
    if not path.is_file():
        raise InputError(f"{path} is not a file", "give the path of one data file")
    inner = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    suffix = inner.suffix.lower()
    if suffix in _CAN_RUN_CODE:
        raise InputError(
            f"{path.name}: {suffix} files are not read: loading one can run code", f"save the numbers as {FORMATS}"
        )
    if suffix not in _TEXT_SUFFIXES | {".parquet", ".pq"}:
        raise InputError(f"{path.name}: {suffix} files are not read", f"save the data as {FORMATS}")
    size = path.stat().st_size
    if size == 0:
        raise InputError(f"{path.name} is empty (0 bytes)", "check how the file was written")
    if size > MAX_BYTES:
        raise _too_large(path)
    raw = path.read_bytes()
    sha256 = hashlib.sha256(raw).hexdigest()
    zipped = raw[:2] == b"\x1f\x8b"
    if suffix in {".parquet", ".pq"}:
        if zipped:
            raise InputError(f"{path.name}: gzipped Parquet is not read", "Parquet is compressed itself: gunzip it")
        return Source(path, inner.stem, suffix, sha256, "", ())
    notes = ["The file is gzipped."] if zipped else []
    raw = _gunzip(raw, path) if zipped else raw
    if raw.count(b"\n") > MAX_LINES:
        raise _too_many_lines(path)
    text = _decode(raw, path, notes)
    if not text.strip():
        raise InputError(f"{path.name} holds no data, only blanks", "check how the file was written")
    return Source(path, inner.stem, suffix, sha256, text, tuple(notes))


def _gunzip(raw: bytes, path: Path) -> bytes:
    """Unpack all gzip members, stopping at the limits before memory fills."""
    parts: list[bytes] = []
    size = lines = 0
    try:
        while raw[:2] == b"\x1f\x8b":
            member = zlib.decompressobj(wbits=31)
            while not member.eof:
                part = member.decompress(raw, _CHUNK)
                raw = member.unconsumed_tail
                if not part and not member.eof:
                    raise InputError(f"{path.name}: the gzip stream ends early", "download or pack the file again")
                parts.append(part)
                size, lines = size + len(part), lines + part.count(b"\n")
                if size > MAX_BYTES:
                    raise _too_large(path)
                if lines > MAX_LINES:
                    raise _too_many_lines(path)
            raw = member.unused_data
    except zlib.error as error:
        raise InputError(f"{path.name}: damaged gzip ({error})", "download or pack the file again") from error
    return b"".join(parts)


def _decode(raw: bytes, path: Path, notes: list[str]) -> str:
    """Return text; a byte order mark decides, else UTF-8."""
    encoding = "utf-8"
    for mark, name in _BOMS:
        if raw.startswith(mark):
            raw, encoding = raw[len(mark) :], name
            notes.append(f"Decoded as {name.upper()} by its byte order mark.")
            break
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        lines = [str(n) for n, line in enumerate(raw.split(b"\n"), 1) if _broken(line)] if encoding == "utf-8" else []
        where = f" at line {', '.join(lines[:8])} ({len(lines)} lines in all)" if lines else ""
        raise InputError(
            f"{path.name} is not {encoding.upper()}: {error.reason}{where}", "save the file as UTF-8"
        ) from error
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise InputError(
            f"{path.name}: byte 0x00 at line {line} ({text.count(chr(0))} in all): binary or damaged",
            "export the file again as UTF-8 text",
        )
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _broken(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return True
    return False


def _too_large(path: Path) -> InputError:
    return InputError(
        f"{path.name} holds more than {MAX_BYTES // 2**20} MB, the limit (gunzipped size counts)",
        "sample the rows or shorten the history",
    )


def _too_many_lines(path: Path) -> InputError:
    return InputError(
        f"{path.name} holds more than {MAX_LINES:,} lines, the limit", "sample the rows or shorten the history"
    )
