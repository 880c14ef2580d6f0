"""Reading exports of annotation tools and common trees into the folder layout."""
