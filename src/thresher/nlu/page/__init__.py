"""The page of a study: one self-contained HTML file from the study folder, built with the report's blocks."""
