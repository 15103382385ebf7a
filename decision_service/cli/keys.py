"""``sidearm keys FOLDER``: the two secrets of a deployment, made once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def keys_command(
    folder: Annotated[
        Path, typer.Argument(help="Where keys.json and draw_secret are written; made if missing.")
    ],
    name: Annotated[str, typer.Option(help="Whom the key is for.")] = "application",
    role: Annotated[
        list[str] | None,
        typer.Option(help="decide, reward, read or admin; may be repeated; all but admin if none."),
    ] = None,
) -> None:
    """Add an API key to FOLDER/keys.json (hashed), make FOLDER/draw_secret; the key is shown once."""
    import secrets

    import msgspec

    from decision_service.auth import ALL_ROLES, load_keys, make_key, write_private
    from sidecar.contracts.errors import BadSettings

    roles = tuple(known for known in ALL_ROLES if known in (role or ("decide", "reward", "read")))
    if unknown := sorted(set(role or ()) - set(ALL_ROLES)):
        raise BadSettings(f"--role {unknown[0]!r} is not known; legal: {', '.join(ALL_ROLES)}")
    folder.mkdir(parents=True, exist_ok=True)
    secret, key = make_key(name, roles, secrets.token_hex)
    kept = [other for other in load_keys(folder / "keys.json") if other.name != name]
    write_private(folder / "keys.json", msgspec.json.format(msgspec.json.encode([*kept, key])))
    if not (folder / "draw_secret").exists():
        write_private(folder / "draw_secret", secrets.token_hex(32).encode())
    typer.echo(secret)
