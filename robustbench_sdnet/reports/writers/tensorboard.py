"""A report for TensorBoard: one file of events, equal for equal answers; curves count steps along their axis."""

from __future__ import annotations

import io
import json
import struct
from typing import Any

from ...answers.snapshot import Snapshot
from ..plots import style
from ..tracked import tag, tracked
from .markdown import escape, table_lines


def render(snapshot: Snapshot) -> bytes:
    """The events, without times and hosts: scalars for curves, images for figures, texts for tables and parameters."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.plugins.text.metadata import create_summary_metadata
    from tensorboard.summary.writer.record_writer import RecordWriter

    found, buffer = tracked(snapshot), io.BytesIO()
    writer = RecordWriter(buffer)
    writer.write(Event(file_version="brain.Event:2").SerializeToString())

    def add(name: str, step: int = 0, **value: Any) -> None:
        writer.write(Event(step=step, summary={"value": [{"tag": name, **value}]}).SerializeToString())

    def add_text(name: str, markdown: str, step: int = 0) -> None:
        shape = {"dim": [{"size": 1}]}
        tensor = {"dtype": "DT_STRING", "string_val": [markdown.encode()], "tensor_shape": shape}
        add(name, step, metadata=create_summary_metadata(name, ""), tensor=tensor)

    add_text("parameters", "    " + json.dumps(found.parameters, indent=2).replace("\n", "\n    "))
    for number, sentence in enumerate(found.document.lead):
        add_text("what it comes to", escape(sentence), number)
    for curve in found.curves:
        for position, accuracy in curve.points:
            add(curve.tag(curve.steps), round(curve.steps * position), simple_value=accuracy)
    for name, table in found.tables:
        add_text(f"tables/{name}", "\n".join(table_lines(table)))
    for figure in found.document.figures:
        png = style.to_png(figure.draw())
        width, height = struct.unpack(">II", png[16:24])  # the first chunk of every PNG
        image = {"height": height, "width": width, "colorspace": 4, "encoded_image_string": png}
        add(f"figures/{tag(figure.name)}", image=image)
    return buffer.getvalue()
