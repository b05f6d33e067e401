"""What is told of an evaluation: Markdown, the page, its charts and its gallery."""
