"""Vendor formats: each reader turns a vendor's files into rows of one shape, and decides nothing about them.

A reader yields `(rows, files)`: what was read together, and the `VendorFile`s it came from. `rows` is a polars frame:

    file        uint32   index into `files`
    row         int64    line of the text file (a header is line 1) or row of the table, from 1
    symbol      str      as the vendor wrote it, NFC; null where there is none
    label       the vendor's time: text, a naive or zoned datetime, a count since 1970, or a date
    open, high, low, close, volume   float64, scaled; null where unreadable
    unreadable  str      null, or what could not be read: "high '12,5'"
"""
