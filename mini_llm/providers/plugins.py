"""Providers that other packages bring, by the entry point group ``mini_llm.providers``.

A package names an object under the ``type`` that its users write::

    [project.entry-points."mini_llm.providers"]
    acme = "acme_vibes:ACME"

The object is a ``Company`` row, or any callable ``(name, config, http) -> Provider``. Nothing of a plugin is
imported until a configuration uses its type. A type of this package cannot be replaced.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Final

from mini_llm.config import ProviderConfig
from mini_llm.errors import ConfigError
from mini_llm.providers.base import Provider
from mini_llm.providers.company import Company, Factory
from mini_llm.transport import Transport

GROUP: Final = "mini_llm.providers"


def plugin_names() -> frozenset[str]:
    """The types that installed packages offer."""
    return frozenset(point.name for point in entry_points(group=GROUP))


def load_plugin(where: str, kind: str) -> Factory:
    """What makes the providers of a plugin's type; its failures are told with the plugin's name.

    Raises:
        ConfigError: several packages offer the type, or this one cannot be imported or is no factory.
    """
    points = tuple(entry_points(group=GROUP, name=kind))
    if len(points) > 1:
        packages = ", ".join(sorted(_package(point) for point in points))
        raise ConfigError(where, f"{kind!r} is offered by several packages: {packages}")
    (point,) = points
    told = f"plugin {kind!r} of {_package(point)} ({point.value})"
    try:
        factory = point.load()
    except Exception as error:  # a stranger's import raises what it likes
        raise ConfigError(where, f"{told} cannot be imported: {type(error).__name__}: {error}") from error
    if not callable(factory):
        raise ConfigError(where, f"{told} is a {type(factory).__name__}, neither a Company nor a factory")

    def make(name: str, config: ProviderConfig, http: Transport) -> Provider:
        try:
            provider = factory(name, config, http)
        except ConfigError:
            raise
        except Exception as error:
            raise ConfigError(where, f"{told} failed: {type(error).__name__}: {error}") from error
        if not isinstance(provider, Provider):
            raise ConfigError(where, f"{told} made a {type(provider).__name__}, not a Provider")
        return provider

    return factory if isinstance(factory, Company) else make


def _package(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "an unknown package"
