"""Self-contained HTML pages: `write_report(run_dir)` reads what the stages wrote and draws it; the corpus's data card."""

from gptwright.report.data_card import write_data_card
from gptwright.report.page import render_report, write_report

__all__ = ["render_report", "write_data_card", "write_report"]
