"""Weight files of other programs: reading, checking, conversion and export."""
