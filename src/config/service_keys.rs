//! The keys below a service: how its objects are read, which records are wanted, and where they go. They are
//! documented in prose (`docs/custom_service.md`); the schema is made from this list, and the tests compare it with the
//! readers.

use super::keys::{Key, NEEDED, NONE, Section};
use super::numbers::{self, default, range};

const OFF: &str = "false";

const RULE_OF_RECORDS: &[Key] = &[
    ("source", "`record`, `file`", NEEDED, "where the field comes from"),
    ("key", "text", NEEDED, "the field's name; of a record also a top-level key"),
    ("type", "`match`, `doesnotmatch`", NEEDED, "what is compared"),
    ("value", "text", NEEDED, "the whole value, not a pattern"),
];

const OTHERS: &[Key] = &[
    ("log_events", "true, false", OFF, "the document may be a CloudWatch Logs envelope"),
    ("keys", "list of paths", NONE, "other keys that lead to the records"),
    ("empty_members", "list", NONE, "a document with one of these top-level keys has no records"),
    ("record_members", "list of paths", NONE, "a document with all keys of one list is a record"),
    ("any_record", "true, false", OFF, "any other document is a record"),
];

/// The mappings below a service that look the same under every service. `[]`: an element of a list.
pub const SECTIONS: &[Section] = &[
    Section {
        place: "known_by",
        about: "The signature of the service's log.",
        keys: &[
            ("members", "list of paths", NONE, "top-level members that the JSON has, all of one list"),
            ("must_have", "list of paths", NONE, "members, one list of which the first document must have"),
            ("line", "regular expression", NONE, "what the first line matches"),
        ],
    },
    Section {
        place: "filename_filter_rules[][]",
        about: "A condition on an object's key. Objects for which all conditions of one list hold are not read.",
        keys: &[
            ("type", "`match`, `doesnotmatch`", NEEDED, "whether the pattern must match"),
            ("pattern", "regular expression", NEEDED, "searched for anywhere in the key"),
        ],
    },
    Section {
        place: "line_filter_rules[][]",
        about: "A condition on a record. Records for which all conditions of one list hold are not sent.",
        keys: RULE_OF_RECORDS,
    },
    Section {
        place: "routing_cases[]",
        about: "Another table for the records that match; the first case that applies wins.",
        keys: &[
            ("when", "list of lists", NEEDED, "conditions, as in line_filter_rules"),
            ("template", "text", NEEDED, "the Devo table, with fields in brackets"),
        ],
    },
    Section { place: "routing_cases[].when[][]", about: "A condition on a record.", keys: RULE_OF_RECORDS },
    Section {
        place: "record_field_mapping.NAME",
        about: "A value taken from a record.",
        keys: &[
            ("keys", "text or list", "required without `column`", "the way to the value in the JSON record"),
            (
                "column",
                range!(numbers::COLUMN),
                "required without `keys`",
                "the column of comma-separated values",
            ),
            ("operations", "list", NONE, "operations on the value, in this order"),
        ],
    },
    Section {
        place: "file_format",
        about: "The format of an object.",
        keys: &[
            ("type", "processor", NEEDED, "how an object is split into records"),
            ("config", "mapping", NONE, "the processor's settings"),
        ],
    },
    Section {
        place: "tests[]",
        about: "A sample, and the expected result.",
        keys: &[
            ("key", "text", "`test`", "the object's key"),
            ("lines", "list of texts or JSON", "required without `file`", "the object's content"),
            (
                "file",
                "file",
                "required without `lines`",
                "the object; relative to the configuration's folder",
            ),
            ("expect", "list of expectations", NEEDED, "for each record: dropped, or its table and body"),
        ],
    },
    Section { place: "others", about: "What else a document may be.", keys: OTHERS },
];

/// The operators of a field, with their keys.
pub const OPERATORS: &[(&str, &[Key])] = &[
    (
        "split",
        &[
            ("on", "text", NEEDED, "the text to split at"),
            ("element", "-2147483648 to 2147483647", NEEDED, "which part; -1 is the last"),
        ],
    ),
    (
        "replace",
        &[
            ("to_replace", "text", NEEDED, "the text to be replaced"),
            ("replace_with", "text", "empty", "the text that replaces it"),
        ],
    ),
    (
        "regex",
        &[
            ("pattern", "regular expression", NEEDED, "searched for anywhere in the value"),
            ("element", "from 0", "1, or 0 without a group", "the group to use; 0 is the whole match"),
        ],
    ),
    ("lowercase", &[]),
    ("map", &[("values", "names", NEEDED, "values and their replacements")]),
    ("set", &[("value", "text", NEEDED, "the field's value")]),
];

const HEADERS: [Key; 2] = [
    (
        "header_lines",
        range!(numbers::HEADER_LINES.range),
        default!(numbers::HEADER_LINES),
        "number of non-empty lines at the start that are not records",
    ),
    ("header_names", "list", NONE, "a line whose first field is one of these is a header"),
];
const KEY: Key = ("key", "text or list", NONE, "a key, or a path of keys, that leads to the records");
const OTHER_DOCUMENTS: Key = ("others", "mapping", NONE, "what else a document may be");

/// The processors, with the keys of their `config`.
pub const PROCESSORS: &[(&str, &[Key])] = &[
    ("aws_access_logs_processor", &[]),
    (
        "cloudwatch_processor",
        &[("body", "`event`, `message`", "`event`", "the part of a log event that is sent"), OTHER_DOCUMENTS],
    ),
    ("csv_processor", &HEADERS),
    ("guardduty_processor", &[OTHER_DOCUMENTS]),
    ("incapsula_processor", &[]),
    ("json_array_processor", &[]),
    ("json_line_arrays_processor", &[]),
    (
        "json_object_to_linesplit_processor",
        &[KEY, ("keys", "text or list", NONE, "several top-level keys"), OTHER_DOCUMENTS],
    ),
    ("kinesis_processor", &[KEY, OTHER_DOCUMENTS]),
    (
        "line_split_processor",
        &[
            HEADERS[0],
            HEADERS[1],
            ("header_prefix", "text", NONE, "lines that begin with it are headers"),
            ("json", "true, false", OFF, "read JSON values instead of lines"),
            ("or_json", "true, false", OFF, "read JSON values if the first line is JSON"),
            ("chunks", "true, false", OFF, "keep only lines that indices, substrings or regex select"),
            ("indices", "list of numbers", NONE, "positions of lines; 0 is the first"),
            ("substrings", "list", NONE, "texts that a line contains"),
            ("regex", "list", NONE, "patterns that a line matches"),
        ],
    ),
    ("parquet_processor", &[]),
    ("separated_json_processor", &[("separator", "text", "a line feed", "the text between two records")]),
    ("single_json_object_processor", &[KEY, OTHER_DOCUMENTS]),
    ("snappy_blocks_processor", &[]),
    ("split_or_unseparated_processor", &[]),
    (
        "text_file_processor",
        &[
            ("line_separator", "text", NEEDED, "the text between two records"),
            ("header", "true, false", OFF, "the first record is a header"),
            ("header_field_separator", "text", NONE, "the text between two names of the header"),
            ("field_names", "list", NONE, "the fields' names"),
            ("field_separator", "text", NONE, "the text between two fields"),
            ("use_json", "true, false", OFF, "each record becomes a JSON object"),
        ],
    ),
    (
        "unseparated_json_processor",
        &[
            KEY,
            ("flat", "true, false", OFF, "{\"a\":{\"b\":1}} becomes {\"a_b\":1}"),
            ("include", "names", NONE, "only these members, under new names"),
            ("rename", "names", NONE, "members that get new names"),
            OTHER_DOCUMENTS,
        ],
    ),
    ("unseparated_json_processor_extract_key", &[KEY, OTHER_DOCUMENTS]),
];
