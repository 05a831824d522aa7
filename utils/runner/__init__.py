"""What runs the kit: `make tutorial` runs the notebooks in order, shows its progress, and reports what came out.

    python -m utils.runner [--from 05 | --only 03] [--keep] [--target aws] [--prefix ...] [--region ...]
                           [--role-layout shared] [--image ...]

Writes each executed notebook and one page with all of them to outputs/. The exit status is 0 when everything ran and
came out as it should, 1 when not, 2 for options that make no sense, 130 when it was interrupted.
"""
