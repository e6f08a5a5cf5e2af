# The most common tasks. Needs `just` (https://just.systems); each recipe is one command that you can also type.

[private]
default:
    @just --list --unsorted

# The program against stand-ins for AWS and Devo
demo:
    cargo run --locked --release -- demo

# Unit tests whose names contain FILTER
test FILTER="":
    cargo test --locked --lib -- {{ FILTER }}

# End-to-end tests whose names contain FILTER
e2e FILTER:
    scripts/test e2e {{ FILTER }}

# Format, then check formatting, lints and dependencies
lint:
    cargo fmt
    scripts/test style

# Regenerate the tables of docs/ that come from the code
docs:
    UPDATE_DOCS=1 cargo test --locked --test docs

# Everything that must pass before a release
all:
    scripts/test
