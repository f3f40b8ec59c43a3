"""What a run did and how good its masks are: one self-contained HTML file, and a model card in Markdown."""
