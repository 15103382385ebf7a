"""Options of Vowpal Wabbit that are refused by name, each with its reason.

What a model may be set to is ``application.ModelConfig``. What stands here is what somebody who knows VW
would look for, and why it is not there: for most of it, the sidecar's score would not be VW's prediction any
more (``tests/parity`` holds them together).
"""

from __future__ import annotations

_OTHER_WAY = 'the same pairs the other way round, on other weights; legal is "ca"'
_APART = "VW keeps its effect beside the weights, so the sidecar's scores would not be the trainer's"

REFUSED: dict[str, str] = {
    "l1": _APART,
    "l2": f"{_APART}; to follow a world that changes, set power_t",
    "l1_state": _APART,
    "l2_state": _APART,
    "sparse_l2": "a model resumed from a checkpoint would not go on to the same bits",
    "hash_seed": "features would land on other weights than the sidecar looks up",
    "hash": "the sidecar hashes as --hash all does, and the trainer is fed hashes",
    "cb_explore_adf": "it answers probabilities, not scores; [exploration] says how arms are explored",
    "decay_learning_rate": "it acts between passes, and an online learner makes one; set power_t",
    "passes": "an online learner makes one; `sidearm train` trains several epochs",
    "cubic": "the sidecar scores products of two features; legal are interactions",
    "loss_function": "the sidecar's scores are expected rewards, which squared loss gives",
    "link": "the sidecar's scores are expected rewards, which the identity gives",
    "noconstant": "the sidecar adds VW's constant to every score",
}


def refused_option(model: object) -> str:
    """Why ``[model]``, as it was read from the file, is refused; empty: nothing in it has a name to refuse.

    >>> refused_option({"l1": 0.1})[:23]
    '`model.l1` is refused: '
    >>> refused_option({"interactions": ["ca", "ac"]})[:39]
    '`model.interactions`: "ac" is refused: '
    >>> refused_option({"bits": 18})
    ''
    """
    if not isinstance(model, dict):
        return ""
    for name in model:
        if name in REFUSED:
            return f"`model.{name}` is refused: {REFUSED[name]}"
    pairs = model.get("interactions")
    if isinstance(pairs, list) and "ac" in pairs:
        return f'`model.interactions`: "ac" is refused: {_OTHER_WAY}'
    return ""
