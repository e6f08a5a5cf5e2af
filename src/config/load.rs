//! File or text -> [`Config`].

use std::io::Read;
use std::path::{Path, PathBuf};

use super::memory::format_size;
use super::node::{Mapping, Node};
use super::problem::{Kind, Problem, Problems, Report, Severity};
use super::registry::Catalog;
use super::snapshot::Snapshot;
use super::{Environment, aws, globals, inputs, outputs, permissions, secrets, substitute, tree};
use crate::base::limits;
use crate::settings::Config;

/// A usable configuration, and its warnings.
#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    pub warnings: Vec<Problem>,
    /// The files it was read from.
    pub snapshot: Snapshot,
}

/// The context that every reader may use besides its own keys.
pub(super) struct Context<'a> {
    /// The base of relative paths: the folder of the configuration file.
    pub base: &'a Path,
    pub environment: &'a Environment,
    /// The names that `services` may have.
    pub catalog: &'a Catalog,
}

impl Context<'_> {
    /// Resolves a name in the file: in the file's folder, else in one of `folders` that exists in it or beside it. The
    /// vendor's container has the folders `config`, `certs` and `state` beside each other.
    pub fn find(&self, name: &str, folders: &[&str], is_it: fn(&Path) -> bool) -> PathBuf {
        let places = std::iter::once(self.base).chain(self.base.parent());
        let in_place = |place: &Path| {
            let within = folders.iter().map(move |folder| place.join(folder));
            std::iter::once(place.to_owned()).chain(within).collect::<Vec<_>>()
        };
        let mut paths = places.flat_map(in_place).map(|folder| folder.join(name));
        paths.find(|path| is_it(path)).unwrap_or_else(|| self.base.join(name))
    }
}

/// Reads a file, YAML or JSON, and the certificate files that it names.
///
/// # Errors
/// All problems at once, if one of them is an error.
pub fn load(path: &Path, environment: &Environment) -> Result<Loaded, Problems> {
    let (loaded, problems) = read(&read_configuration(path)?, Some(path), &folder(path), environment);
    accept(loaded, problems)
}

/// Reads a file only for its inputs. Problems with its outputs are ignored: certificates may come later.
///
/// # Errors
/// All problems at once, if one outside `outputs` is an error.
pub fn load_inputs(path: &Path, environment: &Environment) -> Result<Config, Problems> {
    let (loaded, mut problems) = read(&read_configuration(path)?, Some(path), &folder(path), environment);
    problems.retain(|problem| problem.path != "outputs" && !problem.path.starts_with("outputs."));
    accept(loaded, problems).map(|loaded| loaded.config)
}

/// Reads the names that a configuration's `services` may have; nothing else in it is checked.
pub(super) fn catalog(path: &Path) -> Result<Catalog, Problems> {
    let text = read_configuration(path)?;
    let report = Report::default();
    let catalog = tree::read(&text, &report).and_then(|tree| {
        let globals = Node::new("", &tree, &report).mapping()?.mapping("globals");
        Some(read_catalog(globals.as_ref(), &folder(path), &report))
    });
    match catalog {
        Some(catalog) if !report.has_errors() => Ok(catalog),
        _ => Err(Problems(report.into_problems())),
    }
}

/// Reads a file's text; relative paths in it start at `base`.
///
/// # Errors
/// Those of [`load`].
pub fn parse(text: &str, base: &Path, environment: &Environment) -> Result<Loaded, Problems> {
    let (loaded, problems) = read(text, None, base, environment);
    accept(loaded, problems)
}

/// The readable parts, and all problems found.
fn read(
    text: &str,
    file: Option<&Path>,
    base: &Path,
    environment: &Environment,
) -> (Option<(Config, Snapshot)>, Vec<Problem>) {
    let report = Report::default();
    let loaded = tree::read(text, &report).and_then(|mut tree| {
        if let Some(file) = file.filter(|_| secrets::are_written_in(&tree)) {
            permissions::warn_if_open(file, "", &report);
        }
        substitute::replace(&mut tree, &environment.variable, &report);
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

/// Reads at most `CONFIGURATION_FILE_BYTES_MAX` bytes; errors name the file.
pub(super) fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let limit = limits::CONFIGURATION_FILE_BYTES_MAX;
    let read = std::fs::File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes));
    match read {
        Ok(length) if length as u64 > limit => {
            Err(format!("{} is larger than {}", path.display(), format_size(limit)))
        }
        Ok(_) => Ok(bytes),
        Err(error) => Err(format!("cannot read {}: {error}", path.display())),
    }
}

fn read_configuration(path: &Path) -> Result<String, Problems> {
    read_text(path).map_err(|message| {
        let report = Report::default();
        report.error(Kind::Syntax, "", message, "name the configuration file with --config");
        Problems(report.into_problems())
    })
}

/// Reads the file as text.
pub(super) fn read_text(path: &Path) -> Result<String, String> {
    String::from_utf8(read_file(path)?).map_err(|_| format!("{} is not UTF-8", path.display()))
}

fn folder(path: &Path) -> PathBuf {
    let folder = path.parent().unwrap_or(Path::new(""));
    std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned())
}

fn read_catalog(globals: Option<&Mapping<'_>>, base: &Path, report: &Report) -> Catalog {
    let mut catalog = Catalog::built_in().clone();
    if let Some(file) = globals.and_then(|globals| globals.string("definitions")) {
        catalog.add_file(&base.join(file), report);
    }
    catalog
}

fn read_root(root: Mapping<'_>, base: &Path, environment: &Environment) -> Option<Config> {
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
    let globals = globals::read(globals_map, overrides, first_id, &outputs, context);
    outputs::check_with(&inputs, &outputs, root.report);
    let mut config = Config { globals, inputs, sources, listings, outputs };
    config.fit_memory(is_limit_written, environment.memory, root.report);
    root.finish();
    Some(config)
}
