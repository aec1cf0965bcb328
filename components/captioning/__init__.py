"""BLIP-2: through transformers in this process (``blip2``), or by LAVIS in its own (``lavis``)."""
