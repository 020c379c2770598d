"""The documentation site: pages made from the code and the records, beside those of docs/.

``python -m website FOLDER`` writes the sources of the site, which ``mkdocs build`` makes HTML of;
``python -m website --update`` brings up to date what is made by code and committed in docs/.
"""
