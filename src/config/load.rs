//! File or text -> [`Config`].

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::context::{self, Context};
use super::files::read_text;
use super::kind::Kind;
use super::node::{Mapping, Node};
use super::problem::{Problem, Problems, Report, Severity};
use super::registry::Catalog;
use super::snapshot::Snapshot;
use super::{
    Environment, aws, globals, inputs, outputs, permissions, placeholders, secrets, substitute, tree,
};
use crate::settings::Config;

/// A usable configuration, and its warnings.
#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    pub warnings: Vec<Problem>,
    /// The files it was read from.
    pub snapshot: Snapshot,
}

/// Reads a file, YAML or JSON, and the certificate files that it names.
///
/// # Errors
/// All problems at once, if one of them is an error.
pub fn load(path: &Path, environment: &Environment) -> Result<Loaded, Problems> {
    load_with(path, None, environment)
}

/// The same with the outputs of another file, so that a file of the vendor's cloud server stays as it is.
///
/// # Errors
/// The errors of [`load`].
pub fn load_with(path: &Path, outputs: Option<&Path>, environment: &Environment) -> Result<Loaded, Problems> {
    let outputs = outputs.map(outputs_of).transpose()?;
    let (loaded, problems) =
        read(&read_configuration(path)?, Some(path), outputs, &folder(path), environment);
    accept(loaded, problems)
}

/// Reads the `outputs` of a file. Their certificates are relative to its folder.
fn outputs_of(path: &Path) -> Result<Value, Problems> {
    let text = read_configuration(path)?;
    let report = Report::default();
    let tree = tree::read(&text, &report);
    let outputs = tree.and_then(|mut tree| tree.get_mut("outputs").map(Value::take));
    let Some(mut outputs) = outputs.filter(Value::is_object) else {
        if !report.has_errors() {
            let advice = "write \"outputs\" as in a configuration; nothing else of the file is used";
            report.error(Kind::Missing, "outputs", "is missing", advice);
        }
        let named = Report::default();
        named.absorb(report, &path.display().to_string());
        return Err(Problems(named.into_problems()));
    };
    let folder = folder(path);
    for output in outputs.as_object_mut().into_iter().flat_map(|outputs| outputs.values_mut()) {
        for key in ["chain", "cert", "key"] {
            if let Some(Value::String(name)) = output.pointer_mut(&format!("/config/{key}")) {
                let places = [folder.join(&*name), folder.join("certs").join(&*name)];
                let found = places.iter().find(|place| place.is_file()).unwrap_or(&places[0]);
                *name = found.to_string_lossy().into_owned();
            }
        }
    }
    Ok(outputs)
}

/// Reads a file only for its inputs. Problems with its outputs are ignored: certificates may come later.
///
/// # Errors
/// All problems at once, if one outside `outputs` is an error.
pub fn load_inputs(path: &Path, environment: &Environment) -> Result<Config, Problems> {
    let (loaded, mut problems) =
        read(&read_configuration(path)?, Some(path), None, &folder(path), environment);
    problems.retain(|problem| problem.path != "outputs" && !problem.path.starts_with("outputs."));
    accept(loaded, problems).map(|loaded| loaded.config)
}

/// The pre-built services and those that a configuration's definitions file adds (`globals.definitions`). Nothing
/// else of the configuration is looked at.
///
/// # Errors
/// All problems of the two files, as far as they concern services.
pub fn catalog(path: &Path) -> Result<Catalog, Problems> {
    let text = read_configuration(path)?;
    let report = Report::default();
    let catalog = tree::read(&text, &report).and_then(|tree| {
        let globals = Node::new("", &tree, &report).mapping()?.mapping("globals");
        Some(read_catalog(globals.as_ref(), &folder(path), &report))
    });
    match catalog {
        Some(catalog) if !report.has_errors() => Ok(catalog.into_owned()),
        _ => Err(Problems(report.into_problems())),
    }
}

/// Reads a file's text; relative paths in it start at `base`.
///
/// # Errors
/// The errors of [`load`].
pub fn parse(text: &str, base: &Path, environment: &Environment) -> Result<Loaded, Problems> {
    let (loaded, problems) = read(text, None, None, &context::whole(base), environment);
    accept(loaded, problems)
}

/// The readable parts, and all problems found.
fn read(
    text: &str,
    file: Option<&Path>,
    outputs: Option<Value>,
    base: &Path,
    environment: &Environment,
) -> (Option<(Config, Snapshot)>, Vec<Problem>) {
    let report = Report::default();
    let loaded = tree::read(text, &report).and_then(|mut tree| {
        if let Some(file) = file.filter(|_| secrets::are_written_in(&tree)) {
            permissions::warn_if_open(file, "", &report);
        }
        if let (Some(outputs), Some(root)) = (outputs, tree.as_object_mut()) {
            root.insert("outputs".to_owned(), outputs);
        }
        substitute::replace(&mut tree, &environment.variable, &report);
        secrets::protect(&tree, &report);
        placeholders::report(&tree, &report);
        let root = Node::new("", &tree, &report).mapping()?;
        let config = read_root(root, base, environment)?;
        let snapshot = Snapshot::new(tree, &config, base);
        Some((config, snapshot))
    });
    (loaded, report.into_problems())
}

fn accept(loaded: Option<(Config, Snapshot)>, problems: Vec<Problem>) -> Result<Loaded, Problems> {
    match loaded {
        Some((config, snapshot)) if problems.iter().all(|p| p.severity == Severity::Warning) => {
            Ok(Loaded { config, warnings: problems, snapshot })
        }
        _ => Err(Problems(problems)),
    }
}

/// Returns the cure for a configuration file that cannot be read.
fn reading_advice(path: &Path) -> &'static str {
    match std::fs::File::open(path).map_err(|error| error.kind()) {
        Err(std::io::ErrorKind::PermissionDenied) => {
            "as root: chgrp GROUP FILE && chmod 640 FILE, with the group of the collector's user; its folders need x for it"
        }
        Err(std::io::ErrorKind::NotFound) => {
            "name the configuration file; aws-to-devo init writes a first one"
        }
        _ => "save it as UTF-8: YAML or JSON",
    }
}

fn read_configuration(path: &Path) -> Result<String, Problems> {
    read_text(path).map_err(|message| {
        let report = Report::default();
        report.error(Kind::Syntax, "", message, reading_advice(path));
        Problems(report.into_problems())
    })
}

fn folder(path: &Path) -> PathBuf {
    context::whole(path.parent().unwrap_or(Path::new("")))
}

fn read_catalog(globals: Option<&Mapping<'_>>, base: &Path, report: &Report) -> Cow<'static, Catalog> {
    let mut catalog = Cow::Borrowed(Catalog::built_in());
    if let Some(file) = globals.and_then(|globals| globals.string("definitions")) {
        catalog.to_mut().add_file(&base.join(file), report);
    }
    catalog
}

fn read_root(root: Mapping<'_>, base: &Path, environment: &Environment) -> Option<Config> {
    // Names the schema, for editors.
    root.node("$schema");
    let globals_map = root.mapping("globals");
    let catalog = read_catalog(globals_map.as_ref(), base, root.report);
    let context = &Context { base, environment, catalog: &catalog };
    let overrides = root.mapping("global_overrides");
    let inputs = inputs::read(&root, context);
    let outputs = outputs::read(&root, context);
    let aws::Read { queues: inputs, sources, listings } = inputs;
    let of_queue = inputs.first().map(|input| input.id.split('/').next().unwrap_or_default());
    let first_id = of_queue.or_else(|| sources.first().map(|source| source.input.as_str()));
    let is_limit_written = globals_map.as_ref().is_some_and(|globals| globals.has("memory_limit"));
    let globals = globals::read(globals_map, overrides, first_id, &outputs, context, root.report);
    outputs::check_with(&inputs, &outputs, root.report);
    let mut config = Config { globals, inputs, sources, listings, outputs };
    config.fit_memory(is_limit_written, environment.memory, root.report);
    root.finish();
    Some(config)
}
