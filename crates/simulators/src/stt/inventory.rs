//! The utterances that the recogniser knows; callers may add theirs at any time.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use frontdesk_audio::SampleRate;

use super::template::Template;
use crate::voice::{Speaker, Voice, VoiceError};

/// Most utterances. Each costs every listening call some microseconds a second.
const MAX_UTTERANCES: usize = 2_000;

/// Most utterances that are rendered at once.
const MAX_THREADS: usize = 4;

/// Why utterances could not be added.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InventoryError {
    /// An utterance could not be rendered.
    #[error(transparent)]
    Voice(#[from] VoiceError),
    /// The inventory is full.
    #[error("the recogniser knows {MAX_UTTERANCES} utterances already")]
    Full,
}

/// A shared, growing list of utterances.
#[derive(Debug)]
pub struct Inventory {
    speaker: Arc<Speaker>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    texts: HashSet<String>,
    templates: Arc<Vec<Arc<Template>>>,
}

impl Default for Inventory {
    fn default() -> Self {
        Self::new(Arc::new(Speaker::new(Voice::caller())))
    }
}

impl Inventory {
    /// An empty inventory of utterances in the voice of `speaker`.
    #[must_use]
    pub fn new(speaker: Arc<Speaker>) -> Self {
        Self { speaker, known: Mutex::default() }
    }

    /// Adds utterances; those known already are passed over. Blocks while espeak-ng renders the new ones, some hundredths of a
    /// second each, several at once; in async code use [`Self::register_async`].
    ///
    /// # Errors
    /// See [`InventoryError`]. Those before the faulty one are kept.
    pub fn register<S: AsRef<str>>(&self, texts: impl IntoIterator<Item = S>) -> Result<usize, InventoryError> {
        let mut seen = HashSet::new();
        let texts: Vec<String> = texts.into_iter().map(|text| text.as_ref().trim().to_owned()).collect();
        let new: Vec<String> =
            self.with(|known| texts.into_iter().filter(|text| !known.texts.contains(text) && seen.insert(text.clone())).collect());
        let mut added = 0;
        for (text, learnt) in new.iter().zip(self.learn(&new)) {
            let Some(template) = learnt? else { continue };
            self.with(|known| {
                if known.templates.len() >= MAX_UTTERANCES {
                    return Err(InventoryError::Full);
                }
                if known.texts.insert(text.clone()) {
                    Arc::make_mut(&mut known.templates).push(Arc::new(template));
                    added += 1;
                }
                Ok(())
            })?;
        }
        Ok(added)
    }

    /// Renders and analyses texts on a few threads; results in the order of the texts.
    fn learn(&self, texts: &[String]) -> Vec<Result<Option<Template>, VoiceError>> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from).clamp(1, MAX_THREADS);
        let one = |text: &String| self.speaker.render(text, SampleRate::HZ_8000).map(|clip| Template::learn(text, &clip));
        std::thread::scope(|scope| {
            let share = |texts: &'_ [String]| texts.iter().map(one).collect::<Vec<_>>();
            let workers: Vec<_> =
                texts.chunks(texts.len().div_ceil(threads).max(1)).map(|texts| scope.spawn(move || share(texts))).collect();
            workers.into_iter().flat_map(|worker| worker.join().expect("rendering does not panic")).collect()
        })
    }

    /// [`Self::register`] on a thread of its own.
    ///
    /// # Errors
    /// See [`InventoryError`].
    pub async fn register_async(self: &Arc<Self>, texts: Vec<String>) -> Result<usize, InventoryError> {
        let inventory = Arc::clone(self);
        let task = tokio::task::spawn_blocking(move || inventory.register(texts)).await;
        task.unwrap_or_else(|error| Err(VoiceError::Failed(error.to_string()).into()))
    }

    /// How many utterances are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.with(|known| known.templates.len())
    }

    /// Whether none is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is known now.
    pub(super) fn templates(&self) -> Arc<Vec<Arc<Template>>> {
        self.with(|known| Arc::clone(&known.templates))
    }

    /// The list is only ever extended, so a panic elsewhere leaves it usable.
    fn with<T>(&self, act: impl FnOnce(&mut Known) -> T) -> T {
        act(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
