"""Load labelled texts from files, datasets and frames, check them, and write kept rows back in the same format."""

from thresher.facts.audit import Audit
from thresher.rows.audit import audit, overlap_share
from thresher.rows.audit_lines import audit_lines
from thresher.rows.ids import content_ids
from thresher.rows.load import load
from thresher.rows.noise import Noisy, class_conditional, group_conditional, isotropic
from thresher.rows.normalise import normalised
from thresher.rows.store import check_rows, read_rows, save_rows
from thresher.rows.table import Rows, Source
from thresher.rows.texts import load_texts
from thresher.rows.write_back import write_back

__all__ = [
    "Audit",
    "Noisy",
    "Rows",
    "Source",
    "audit",
    "audit_lines",
    "check_rows",
    "class_conditional",
    "content_ids",
    "group_conditional",
    "isotropic",
    "load",
    "load_texts",
    "normalised",
    "overlap_share",
    "read_rows",
    "save_rows",
    "write_back",
]
