"""Exports: images in, files out."""

from mapstyle.exports.picture import SINKS, Sheet, encode_tile, open_sink

__all__ = ["SINKS", "Sheet", "encode_tile", "open_sink"]
