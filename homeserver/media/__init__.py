"""The content repository: files that users share, their thumbnails, previews of links.  Knows no room and no HTTP routes."""
