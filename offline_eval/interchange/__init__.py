"""Other people's logs in, ours out.

==================  ========================================================================
``frames``          any table of decisions (polars, pandas, Arrow) by a mapping of its columns
``open_bandit``     the Open Bandit Dataset's CSV
``dsjson_in``       VW's DSJSON lines, single- and multi-slot
``dsjson_out``      our log as DSJSON lines
``log_writer``      what writes the Parquet files
==================  ========================================================================
"""
