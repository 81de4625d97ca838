//! Smart Turn v3.2 as an ONNX Runtime session that judges one clip at a time.

use std::path::{Path, PathBuf};
use std::{env, fs};

use ort::environment::Environment;
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::TensorRef;
use sha2::{Digest, Sha256};

use super::TurnError;
use super::mel::{FRAMES, LogMel, MELS};
use crate::runtime;

/// Name of the model's file. Source, licence and shapes: `models/README.md`.
pub const TURN_MODEL_FILE: &str = "smart-turn-v3.2-cpu.onnx";
/// SHA-256 of that file in hexadecimal, checked by `scripts/setup`.
pub const TURN_MODEL_SHA256: &str = "2bb026316b14a660486a75b1733cd3fbab8c2fd0314dc9af7be49f8cca967e4f";
/// Environment variable that names the file.
pub const TURN_MODEL_VARIABLE: &str = "FRONTDESK_TURN_MODEL";
/// Where `scripts/setup` puts it, relative to the project or any folder above the working directory.
const INSTALLED_IN: &str = "var/models";

/// Where the model is: `named` if given, else what `FRONTDESK_TURN_MODEL` names, else `var/models/smart-turn-v3.2-cpu.onnx` in
/// the working directory or the nearest folder above it.
///
/// # Errors
/// [`TurnError::NotFound`] with the places.
pub fn find_turn_model(named: Option<&Path>) -> Result<PathBuf, TurnError> {
    let named = named.map(Path::to_path_buf);
    let named = named.or_else(|| env::var_os(TURN_MODEL_VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from));
    match named {
        Some(path) if path.is_file() => Ok(path),
        Some(path) => Err(TurnError::NotFound { searched: vec![path] }),
        None => installed(&env::current_dir().unwrap_or_default()),
    }
}

pub(super) fn installed(start: &Path) -> Result<PathBuf, TurnError> {
    let mut places = start.ancestors().map(|folder| folder.join(INSTALLED_IN).join(TURN_MODEL_FILE));
    // Folders far above the project only blur the message.
    let missing =
        || TurnError::NotFound { searched: start.ancestors().take(2).map(|at| at.join(INSTALLED_IN).join(TURN_MODEL_FILE)).collect() };
    places.find(|path| path.is_file()).ok_or_else(missing)
}

/// What judges clips; Smart Turn, or a fake in the engine's tests.
pub(super) trait Model: Send + 'static {
    /// Takes what memory it needs, so that the first clip does not wait for it.
    fn prepare(&mut self) {}

    /// The probability that the speaker of this clip (16 kHz, the last 8 s count) has finished.
    fn judge(&mut self, samples: &[i16]) -> Result<f32, String>;
}

/// The loaded model with its reusable buffers.
#[derive(Debug)]
pub(super) struct SmartTurn {
    session: Session,
    mel: LogMel,
}

impl SmartTurn {
    /// Loads the model and judges a second of silence, so that a wrong file shows here and the first caller does not wait
    /// for memory; loads ONNX Runtime first if nobody did.
    pub(super) fn load(named: Option<&Path>) -> Result<Self, TurnError> {
        let path = find_turn_model(named)?;
        let environment = runtime::environment()?;
        let unusable = |reason: String| TurnError::Model { path: path.clone(), reason };
        let session = Self::session(&environment, &path).map_err(|error| unusable(error.to_string()))?;
        let mut model = Self { session, mel: LogMel::new() };
        model.judge(&[0; super::TURN_RATE_HZ as usize]).map_err(unusable)?;
        tracing::debug!(path = %path.display(), "loaded the turn model");
        Ok(model)
    }

    fn session(environment: &Environment, path: &Path) -> Result<Session, ort::Error> {
        Session::builder(environment)?
            .with_optimization_level(GraphOptimizationLevel::All)?
            // More threads would make one answer quicker and starve the calls' audio on the same processors.
            .with_intra_threads(1)?
            .with_inter_threads(1)?
            .commit_from_file(path)
    }

    fn run(&mut self, samples: &[i16]) -> Result<f32, ort::Error> {
        let features = self.mel.compute(samples);
        let outputs = self.session.run(ort::inputs![
            "input_features" => TensorRef::from_array_view(([1, MELS, FRAMES], features))?,
        ])?;
        // Named for what it was before the sigmoid that the file ends with.
        let (_, probability) = outputs["logits"].try_extract_tensor::<f32>()?;
        match probability {
            [probability] if (0.0..=1.0).contains(probability) => Ok(*probability),
            _ => Err(ort::Error::new("the output is not one probability")),
        }
    }
}

impl Model for SmartTurn {
    fn judge(&mut self, samples: &[i16]) -> Result<f32, String> {
        self.run(samples).map_err(|error| error.to_string())
    }
}

/// The model that this crate was made for, still in its file.
#[derive(Debug)]
pub(super) struct Known {
    path: PathBuf,
    model: Option<SmartTurn>,
}

impl Known {
    /// `None` where the file is another: only trying shows whether that is of use.
    pub(super) fn find(path: &Path) -> Result<Option<Self>, TurnError> {
        // Whoever has no ONNX Runtime should hear of it before the first call.
        runtime::environment()?;
        let unusable = |error: std::io::Error| TurnError::Model { path: path.to_path_buf(), reason: error.to_string() };
        let sum = Sha256::digest(fs::read(path).map_err(unusable)?);
        Ok((format!("{sum:x}") == TURN_MODEL_SHA256).then(|| Self { path: path.to_path_buf(), model: None }))
    }

    fn model(&mut self) -> Result<&mut SmartTurn, String> {
        let model = match self.model.take() {
            Some(model) => model,
            None => SmartTurn::load(Some(&self.path)).map_err(|error| error.to_string())?,
        };
        Ok(self.model.insert(model))
    }
}

impl Model for Known {
    fn prepare(&mut self) {
        if let Err(error) = self.model() {
            tracing::error!(error, "the turn model cannot be loaded; turns end by their delays");
        }
    }

    fn judge(&mut self, samples: &[i16]) -> Result<f32, String> {
        self.model()?.judge(samples)
    }
}
