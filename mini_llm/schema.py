"""JSON Schemas of configuration files, for editors."""

from __future__ import annotations

import json

from pydantic import BaseModel


def schema_text(config: type[BaseModel], title: str) -> str:
    """The schema (draft 2020-12), with a newline at its end."""
    made = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title}
    described = config.model_json_schema()
    described["properties"]["$schema"] = {"type": "string", "description": "For editors."}
    return json.dumps(described | made, indent=2, ensure_ascii=False) + "\n"
