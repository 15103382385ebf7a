# ruff: noqa: F401, UP007 - what is imported is used by the texts in TYPES
"""Types of many kinds, as annotations write them: each is held against each, by the graph and by mypy."""

from __future__ import annotations

import enum
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import (
    Awaitable,
    Callable,
    Collection,
    Container,
    Generator,
    Hashable,
    ItemsView,
    Iterable,
    Iterator,
    KeysView,
    Mapping,
    MutableMapping,
    MutableSequence,
    Sequence,
    Sized,
)
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path, PurePath
from typing import (
    IO,
    Annotated,
    Any,
    Generic,
    Literal,
    LiteralString,
    NamedTuple,
    NewType,
    NotRequired,
    Optional,
    Protocol,
    SupportsFloat,
    TypedDict,
    TypeVar,
    Union,
)

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
T_contra = TypeVar("T_contra", contravariant=True)

UserId = NewType("UserId", str)
StaffId = NewType("StaffId", UserId)
Score = Union[int, float]


class Animal: ...


class Dog(Animal): ...


class Segment(enum.Enum):
    NEW = "new"
    OLD = "old"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Only(enum.Enum):
    ONE = 1


@dataclass
class Profile:
    age: int


class Point(NamedTuple):
    x: int
    y: int


class Row(TypedDict):
    name: str
    age: int


class LongRow(Row):
    city: NotRequired[str]


class Names(TypedDict, total=False):
    name: str


class OtherRow(TypedDict):
    name: str
    age: str


class Box(Generic[T]):
    def __init__(self, value: T) -> None:
        self.value = value


class IntBox(Box[int]): ...


class Source(Generic[T_co]): ...


class Sink(Generic[T_contra]): ...


class DogSink(Sink[Dog]): ...


class Floats(list[float]): ...


class ByName(dict[str, T]): ...


class Closes(Protocol):
    def close(self) -> None: ...


class Named(Protocol):
    name: str


class Gives(Protocol[T_co]):
    def give(self) -> T_co: ...


class File:
    def __init__(self) -> None:
        self.name = "f"

    def close(self) -> None: ...

    def give(self) -> int:
        return 1


class Loose(Any): ...


_TYPES = """
None int bool float complex str bytes bytearray object Any Decimal date datetime timedelta Path PurePath
Animal Dog Segment Level Only Profile Point Row LongRow Names OtherRow UserId StaffId Score Loose File
type[Animal] type[Dog] type[int] type
Literal[1] Literal["a"] Literal["a","b"] Literal[True] Literal[True,False] Literal[Segment.NEW] Literal[None]
Literal[Segment.NEW,Segment.OLD] Literal[Only.ONE] LiteralString
Optional[int] int|None int|str Union[int,str,None] float|None Profile|None Dog|Animal|None bool|None
Annotated[int,"years"] Annotated[Optional[str],1]
list list[int] list[float] list[bool] list[Any] list[object] list[Dog] list[Animal] list[int|None]
list[list[int]] list[list[str]] Sequence[int] Sequence[float] Sequence[str] Sequence[object] Sequence[Animal]
Sequence[Sequence[int]] MutableSequence[int] Iterable[int] Iterable[str] Iterable[object] Iterator[int]
Iterable[Iterable[str]] Collection[int] Collection[str] Container[int] Sized Hashable
deque[int] set[int] set[str] frozenset[int] AbstractSet[int] AbstractSet[float] KeysView[str]
dict dict[str,int] dict[str,float] dict[str,Any] dict[str,object] dict[int,str] dict[str,list[int]]
Mapping[str,int] Mapping[str,float] Mapping[str,object] Mapping[int,int] Mapping[str,Sequence[float]]
MutableMapping[str,int] defaultdict[str,int] OrderedDict[str,int] Counter[str] ItemsView[str,int]
Iterable[tuple[str,int]]
tuple tuple[()] tuple[int] tuple[int,int] tuple[int,str] tuple[float,float] tuple[int,...] tuple[str,...]
tuple[float,...] Sequence[int|str]
Box[int] Box[float] Box[str] Box[Any] Box IntBox Source[Dog] Source[Animal] Sink[Dog] Sink[Animal] DogSink
Floats ByName[int] ByName[str]
Closes Named Gives[int] Gives[str] SupportsFloat IO[str] StringIO
Callable[[int],str] Callable[...,Any] Callable[[],int] Generator[int,str,None] Generator[str,None,None]
Awaitable[int]
"""
TYPES = _TYPES.split()
