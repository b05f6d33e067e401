"""The UniEdit pipeline: raw pictures and videos in, pairs in parquet shards out (A2-Edit, section 4)."""
