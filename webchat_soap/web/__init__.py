"""What browsers and probes see: the human page, public files and health. werkzeug and Jinja2 live here."""
