"""Self-contained HTML pages: `write_report(run_dir)` draws what the stages wrote, `write_data_card` a corpus."""

from gptwright.report.data_card import write_data_card
from gptwright.report.page import render_report, write_report

__all__ = ["render_report", "write_data_card", "write_report"]
