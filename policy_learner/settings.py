"""Settings of the learner: ``[learner]`` in ``app.toml``, or ``SIDEARM_LEARNER_<FIELD>``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from sidecar.contracts.daily import TimeOfDay
from sidecar.contracts.settings import load_settings

Seconds = Annotated[float, Meta(gt=0.0, le=86_400.0)]
Count = Annotated[int, Meta(ge=1, le=1_000_000)]


class LearnerSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """How often the learner does what. The defaults suit one machine and thousands of decisions a second."""

    niceness: Annotated[int, Meta(ge=0, le=19)] = 3
    """How far the learner and its helpers stand back for other processes of their machine (`nice`). With 0
    they take processor time from decisions when both are short of it; with 10 the weights grow older: a
    second for one reward in a hundred at a thousand decisions a second on two cores, with 3 a tenth."""
    publish_every_s: Seconds = 0.05
    """Seconds between two published versions while there is something new. Shorter: fresher weights; each
    version takes the learner about 15 ms of processor time, a sidecar 2, the store half of one, and 5 kB of
    its append-only file and a row of the log (18 bits, 20 arms)."""
    publish_every_examples: Count = 20_000
    """Publish earlier than that after so many examples."""
    publish_share: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.1
    """Share of the learner's time that gate and publishing may take while it is behind: then they come less
    often than `publish_every_s` says. Smaller: catches up sooner, with older weights meanwhile."""
    base_every_s: Seconds = 5.0
    """Seconds between two records that are written whole while deltas do for the rest. Shorter: less to read
    for a sidecar that starts; longer: less for the store to write (1 MB each at 18 bits, up to 17 at 22)."""
    idle_s: Annotated[float, Meta(gt=0.0, le=10.0)] = 0.02
    """Seconds to rest after a step that found nothing to do. Longer: less load, later rewards."""
    finalise_batch: Annotated[int, Meta(ge=1, le=256)] = 128
    """Decisions per finalise script call: the store answers nobody else meanwhile (about 15 µs each), and
    has them on the disk together. Fewer: decisions wait less while others are closed; more: closes faster."""
    finalise_per_step: Count = 512
    """Decisions finalised per partition and step, at most."""
    lease_s: Annotated[float, Meta(ge=0.1, le=3600.0)] = 3.0
    """Seconds for which a joiner (`sidearm joiner`) has its partitions to itself. Shorter: those of one that
    died are closed by others sooner; longer: less to write. Without joiners the learner closes them all."""
    read_batch: Count = 256
    """Stream entries read per partition and step, for training and for the log each. More: fewer round
    trips, later publishes, more memory."""
    gate_sample: Annotated[int, Meta(ge=1, le=1024)] = 16
    """Latest decisions on which sidecar and trainer must agree before a publish."""
    gate_tolerance: Annotated[float, Meta(gt=0.0, le=1.0)] = 1e-6
    """Largest allowed |difference| / (1 + Σ|w·x|) between the sidecar's score and the trainer's."""
    gate_largest_weight: Annotated[float, Meta(gt=0.0)] = 1e6
    """Weights beyond ± this are not published."""
    gate_window_examples: Count = 4000
    """Latest examples on which a version is compared with the last good one and with that of a while before.
    More: outlasts longer stretches of false rewards, and holds back longer when the world has really changed
    (up to about half of them, either way)."""
    gate_compared: Annotated[int, Meta(ge=50, le=20_000)] = 1000
    """How many of them, evenly spaced, are scored. More: finer, slower (0.01 ms each)."""
    gate_least_examples: Annotated[int, Meta(ge=50, le=20_000)] = 200
    """With fewer at hand nothing is compared and the version passes: after a cold start, and for a moment
    after a restart."""
    gate_reward_margin: Annotated[float, Meta(ge=0.0)] = 0.05
    """A version that would earn less than the other by more than this share of the window's mean absolute
    reward, beyond doubt, is not published. Smaller: refuses smaller losses, and more sound models."""
    gate_auc_margin: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.02
    """The same for the AUC of what is expected of the shown arms. 1.0 switches that comparison off."""
    gate_wrong_refusals: Annotated[float, Meta(gt=0.0, lt=1.0)] = 0.001
    """Chance at most that one comparison refuses a version that is just the margin worse. Smaller: fewer
    refusals by bad luck, later ones where they are due."""
    gate_before_s: Seconds = 600.0
    """How old, by the stream's clock, the second version is that a new one is compared with: it catches what
    gets worse slowly."""
    history: Annotated[int, Meta(ge=1, le=1000)] = 32
    """Versions kept in the store, to be served again at once by `sidearm models rollback`: dense for the last
    minutes, ever sparser before. More: finer choice, more memory."""
    history_every_s: Seconds = 60.0
    """Seconds between two versions that are kept."""
    history_mb: Annotated[float, Meta(gt=0.0, le=100_000.0)] = 64.0
    """Megabytes of the store that they take at most; the newest stays however large. A record takes 8 bytes
    for each weight that is not zero, 1 MB at most at 18 bits and 17 MB at 22."""
    checkpoint_every_s: Seconds = 60.0
    """Seconds between two checkpoints: what a restart has to train again, and what the streams keep."""
    rebase_at: TimeOfDay = ""
    """Time of the day, UTC, such as `03:00`, at which a base is trained on the log and handed over, in a
    process of its own and behind everything else; empty: never. `sidearm train` does it by hand."""
    rebase_days: Annotated[int, Meta(ge=1, le=3650)] = 30
    """On so many days of the log. Fewer: follows the times, forgets what is rare."""
    rebase_epochs: Annotated[int, Meta(ge=1, le=100)] = 1
    """Passes over the older part of them. More: learns more from little traffic, and chance by heart."""
    backup_to: str = ""
    """Where checkpoints are backed up: a folder, or an address such as s3://bucket/prefix; empty: nowhere.
    `sidearm models restore` goes on from there."""
    backup_every_s: Seconds = 3600.0
    """Seconds between two backups."""
    backup_keep: Annotated[int, Meta(ge=1, le=100_000)] = 48
    """Backups that stay there; older ones are deleted."""
    archiver: Literal["here", "apart"] = "here"
    """Who writes the log: the learner itself, between its steps, or `sidearm archiver`, a process beside it
    over the same data folder, which then also compacts and ships. Apart: the learner has more time for
    learning, and a disk that is slow or full does not hold it up."""
    archive_every_s: Seconds = 30.0
    """Seconds between two Parquet files of a partition. Shorter: fresher log, more small files."""
    archive_rows: Count = 50_000
    """Rows after which a file is written at once; also the most that one file holds."""
    compact_every_s: Annotated[float, Meta(ge=0.0, le=86_400.0)] = 600.0
    """Seconds between two looks whether days of the log should be compacted: closed days always, the day that
    goes on when it has many files. 0: never; `sidearm log compact` does it by hand."""
    compact_files: Count = 1000
    """Files of a day that goes on, from which on they are compacted before it ends."""
    compact_group_rows: Count = 50_000
    """Rows of a row group of compacted files. Fewer: less memory for `sidearm replay`, more bytes."""
    compact_file_rows: Annotated[int, Meta(ge=1, le=100_000_000)] = 2_000_000
    """Rows of a compacted file, about; a day with more has several."""
    compact_grace_s: Annotated[float, Meta(ge=0.0)] = 3600.0
    """Seconds for which files that were replaced stay on disk, for who is reading them. Longer than the
    longest evaluation or replay takes."""
    retention_days: Annotated[int, Meta(ge=0)] = 0
    """Days of the log (decisions, late rewards, dead letters) that are kept; older ones are deleted for
    good. 0: all are kept. Models that learnt from deleted days cannot be rebuilt."""
    archive_url: str = ""
    """Object store to which the log is copied, such as `s3://bucket/shop`; keys and endpoint come from the
    environment (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT_URL`)."""
    archive_ship_every_s: Seconds = 60.0
    """Seconds between two looks for files of the log that are not in the object store yet."""
    trim_every_s: Seconds = 5.0
    """Seconds between two trims of the streams behind checkpoint and archive, and between two looks for keys
    that hold another kind of value than ours."""
    trim_keep_s: Annotated[float, Meta(ge=0.0, le=86_400.0)] = 0.0
    """Seconds of stream kept beyond what restart and archive need, for a look by hand. Costs memory: about
    1.3 KB a decision."""
    status_every_s: Seconds = 1.0
    """Seconds between two writes of the status that ``sidearm status`` shows."""
    contests_every_s: Seconds = 1.0
    """Seconds between two looks at how challengers and shadows stand against the champion, where there are
    any. Shorter: promoted and rolled back sooner, more to write."""
    metrics_port: Annotated[int, Meta(ge=0, le=65_535)] = 0
    """Port on which the learner's figures can be had for Prometheus; 0: none."""
    metrics_host: str = "127.0.0.1"
    """Address of that port. `0.0.0.0`: from everywhere, without a key."""
    retry_s: Seconds = 0.5
    """Seconds to wait before the next step after the store or the disk failed."""
    drain_s: Seconds = 10.0
    """Seconds that an orderly stop may spend on what is still coming in, before it closes the files."""
    warm_start: str = ""
    """File of a model to begin with where nothing was learnt yet, relative to the application's
    folder: a weights record (`sidearm models export`), or a checkpoint or base of the same `[model]`, with
    which its rates go on too. It is published as the first version. Empty: the model begins untrained."""
    isolate_trainer: bool = True
    """True: Vowpal Wabbit runs in a process of its own, so that an example which crashes or hangs it is put
    with the dead letters after three times and the learner goes on. False: it runs in the learner's."""
    trainer_patience_s: Seconds = 30.0
    """Seconds that this process may take for a few hundred examples before it is taken for hung, killed and
    started again. Longer than they take on a machine that is very busy."""
    cold_start: bool = False
    """True: when the published weights cannot be rebuilt, begin with an untrained model instead of refusing
    to start. What was learnt so far is forgotten, and ``sidearm replay`` will say so."""


def learner_settings(values: dict[str, Any], environ: Mapping[str, str]) -> LearnerSettings:
    """The checked settings.

    Raises:
        BadSettings: an unknown field or a value outside its range.
    """
    return load_settings(LearnerSettings, "learner", values, environ)
