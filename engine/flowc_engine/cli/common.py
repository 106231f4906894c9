"""What the commands share: exit codes, where text goes, and a program that is loaded and checked."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Final, Literal, NoReturn, TextIO

import click

from flowc_dsl.check import Report, Summary, check_system
from flowc_dsl.diagnostics.diagnostic import Diagnostic, Label
from flowc_dsl.diagnostics.full import render_full
from flowc_dsl.diagnostics.rebase import rebased
from flowc_dsl.diagnostics.width import WIDTH_DEFAULT, Look
from flowc_dsl.rules.registry import INTERNAL_FAILURE
from flowc_dsl.rules.registry import Report as Words
from flowc_dsl.source import Source, Span
