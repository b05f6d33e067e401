"""Self-contained HTML pages: the frame of a page, charts as inline SVG."""
