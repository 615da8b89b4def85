//! Networks computed by ONNX Runtime: the library is the user's, loaded when it is asked for.
//!
//! A provider that is not there, or that leaves any part of the network to the processor, is an
//! error: never is something computed elsewhere than where the user said. What computes, and how
//! long a tile of a known size takes it, is said at the start.

use std::ffi::{CStr, c_char, c_void};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use libloading::Library;
use ort::ep::{self, ExecutionProvider, ExecutionProviderDispatch};
use ort::session::Session;
use ort::value::TensorRef;
use stainfree_network::model::Model;
use stainfree_network::onnx::{CHANNELS, encode_network};
use stainfree_network::tiles::{DeviceError, Predict, Tile};
use stainfree_network::{Graph, Machine, Output, Workers};

use super::Provider;

/// The environment variable with the library's path, as other programs that load it know it.
const LIBRARY: &str = "ORT_DYLIB_PATH";
/// The oldest version of its interface that will do, as the feature `api-18` of `ort` says.
const OLDEST_API: u32 = 18;
/// Sides of the tile that is timed at the start.
const TIMED: usize = 256;

/// A network in ONNX Runtime.
pub(crate) struct Runtime {
    /// It computes one tile at a time: a GPU is busy with one, and siblings wait.
    session: Arc<Mutex<Session>>,
    graph: Arc<Graph>,
    workers: Workers,
    said: String,
}

impl Runtime {
    /// Loads library and network, and lets it compute once.
    ///
    /// # Errors
    /// The library cannot be loaded, lacks the provider, or fails.
    pub(super) fn new(
        model: &Model,
        machine: &Machine,
        provider: Provider,
    ) -> Result<Self, DeviceError> {
        let library = load()?;
        let named = |error: &dyn std::fmt::Display| {
            DeviceError(format!(
                "ONNX Runtime (`{}`) cannot compute the network by its provider `{}`: {error}; \
                 choose another `--device`",
                library.display(),
                provider.name()
            ))
        };
        let file = encode_network(&model.graph, &model.parameters);
        let file = file.map_err(|error| named(&error))?;
        let session = session(&file, machine.threads(), provider);
        let session = session.map_err(|error| named(&error))?;
        let mut runtime = Self {
            session: Arc::new(Mutex::new(session)),
            graph: Arc::new(model.graph.clone()),
            workers: machine.workers().clone(),
            said: String::new(),
        };
        let milliseconds = runtime.time_a_tile().map_err(|error| named(&error))?;
        runtime.said = format!(
            "the network is computed by ONNX Runtime (`{}`, provider `{}`); a tile of {TIMED} x \
             {TIMED} pixels takes {milliseconds:.0} ms",
            library.display(),
            provider.name()
        );
        Ok(runtime)
    }

    /// What computes, in a sentence.
    pub(super) fn said(&self) -> &str {
        &self.said
    }

    /// Another one in the same session.
    pub(super) fn sibling(&self) -> Self {
        Self {
            session: Arc::clone(&self.session),
            graph: Arc::clone(&self.graph),
            workers: self.workers.clone(),
            said: self.said.clone(),
        }
    }

    /// Threads for what is done beside the network.
    pub(super) fn workers(&self) -> &Workers {
        &self.workers
    }

    /// How long a tile takes, milliseconds, once everything is in its place.
    fn time_a_tile(&self) -> Result<f64, DeviceError> {
        let side = TIMED.next_multiple_of(self.graph.multiple());
        let input = vec![0.0; self.graph.input_channels() * side * side];
        let mut seconds = f64::INFINITY;
        for _ in 0..2 {
            let begun = Instant::now();
            self.compute(&input, [side, side], |_, _| {})?;
            seconds = seconds.min(begun.elapsed().as_secs_f64());
        }
        Ok(1000.0 * seconds)
    }

    /// Gives each output's numbers, `[channel][y][x]`.
    fn compute(
        &self,
        input: &[f32],
        [height, width]: [usize; 2],
        mut take: impl FnMut(&Output, &[f32]),
    ) -> Result<(), DeviceError> {
        let failed = |error: ort::Error| DeviceError(format!("ONNX Runtime has failed: {error}"));
        let shape = [1, self.graph.input_channels(), height, width];
        let input = TensorRef::from_array_view((shape, input)).map_err(failed)?;
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let given = session
            .run(ort::inputs![CHANNELS => input])
            .map_err(failed)?;
        for output in self.graph.outputs() {
            let value = given.get(output.name.as_str()).ok_or_else(|| {
                DeviceError(format!("ONNX Runtime gives no output `{}`", output.name))
            })?;
            let (found, numbers) = value.try_extract_tensor::<f32>().map_err(failed)?;
            if numbers.len() != output.channels * height * width {
                return Err(DeviceError(format!(
                    "ONNX Runtime gives the output `{}` in the shape {found:?}",
                    output.name
                )));
            }
            take(output, numbers);
        }
        Ok(())
    }
}

impl Predict for Runtime {
    fn predict(&mut self, tile: &Tile, out: &mut [f32]) -> Result<(), DeviceError> {
        let [height, width] = tile.size();
        let mut input = vec![0.0; self.graph.input_channels() * height * width];
        for (line, row) in input.chunks_exact_mut(width).enumerate() {
            tile.row(line / height, line % height, row);
        }
        let ([top, left], [out_height, out_width]) = (tile.corner(), tile.out_size());
        let [rows, columns] = tile.kept();
        let mut first = 0;
        self.compute(&input, [height, width], |output, numbers| {
            for channel in 0..output.channels {
                for y in rows.clone() {
                    let from = (channel * height + y) * width;
                    let from = &numbers[from + columns.start..from + columns.end];
                    // What is kept lies within what is written.
                    let to_y = (y as isize + top) as usize;
                    let to_x = (columns.start as isize + left) as usize;
                    let to = ((first + channel) * out_height + to_y) * out_width + to_x;
                    out[to..to + from.len()].copy_from_slice(from);
                }
            }
            first += output.channels;
        })
    }

    /// What the runtime holds of all layers at once, and the tile on both sides of it. The runtime
    /// may take more for its own work; it does not say how much.
    fn memory_bytes(&self, height: usize, width: usize) -> usize {
        let both = self.graph.input_channels() + self.graph.output_channels();
        size_of::<f32>() * (self.graph.most_held(height, width) + both * height * width)
    }
}

/// The providers that the library has.
pub(super) fn providers() -> Result<Vec<Provider>, DeviceError> {
    load()?;
    let there = |provider: &Provider| dispatch(*provider).is_ok();
    Ok(Provider::ALL.into_iter().filter(there).collect())
}

/// Loads the library, once in a process, and says where it lies.
fn load() -> Result<PathBuf, DeviceError> {
    let named = std::env::var_os(LIBRARY).filter(|path| !path.is_empty());
    let install = format!(
        "install it (such as `pip install onnxruntime` or `onnxruntime-gpu`) and name its library \
         in the environment variable {LIBRARY}"
    );
    let Some(library) = named.map(PathBuf::from) else {
        return Err(DeviceError(format!(
            "where ONNX Runtime lies is not said: {install}"
        )));
    };
    let refused = |why: String| {
        DeviceError(format!(
            "`{}` is no library of ONNX Runtime that can be used ({why}): {install}",
            library.display()
        ))
    };
    probe(&library).map_err(&refused)?;
    let environment = ort::init_from(&library).map_err(|error| refused(error.to_string()))?;
    // `false` where it is there already, which is as good.
    environment.with_telemetry(false).commit();
    Ok(library)
}

/// Whether a file is a library of ONNX Runtime that this program can use.
///
/// `ort` 2.0.0-rc.12 waits for ever where it is none: its errors are made by the library that could
/// not be loaded.
#[allow(unsafe_code)]
fn probe(path: &Path) -> Result<(), String> {
    /// How the interface in C begins, in every version (`OrtApiBase` in onnxruntime_c_api.h).
    #[repr(C)]
    struct Base {
        api: unsafe extern "C" fn(u32) -> *const c_void,
        version: unsafe extern "C" fn() -> *const c_char,
    }
    type GetBase = unsafe extern "C" fn() -> *const Base;
    if !path.is_file() {
        return Err("there is no such file".to_owned());
    }
    // SAFETY: what a library does when it is loaded is for the user to judge, who has named it.
    let library = unsafe { Library::new(path) }.map_err(|error| error.to_string())?;
    // SAFETY: the symbol has this type in all versions.
    let found = unsafe { library.get::<GetBase>(b"OrtGetApiBase") };
    let get_base = found.map_err(|_| "it has no `OrtGetApiBase`".to_owned())?;
    // SAFETY: as above; what is given lives as long as the library.
    let base = unsafe { get_base().as_ref() }.ok_or("it gives no interface")?;
    // SAFETY: the version is a text that ends with a zero.
    let version = unsafe { CStr::from_ptr((base.version)()) }.to_string_lossy();
    // SAFETY: null where the library is older.
    let is_old = unsafe { (base.api)(OLDEST_API) }.is_null();
    let result = match is_old {
        true => Err(format!(
            "version {version} is too old, 1.{OLDEST_API} is needed"
        )),
        false => Ok(()),
    };
    // It stays: it may have started threads.
    std::mem::forget(library);
    result
}

/// The network in `file` on a provider that computes all of it.
fn session(file: &[u8], threads: usize, provider: Provider) -> Result<Session, String> {
    let text = |error: ort::Error| error.to_string();
    let mut builder = Session::builder()
        .map_err(text)?
        .with_intra_threads(threads)
        .map_err(|error| error.to_string())?
        .with_execution_providers([dispatch(provider)?])
        .map_err(|error| error.to_string())?;
    if provider != Provider::Cpu {
        builder = builder
            .with_disable_cpu_fallback()
            .map_err(|error| error.to_string())?;
    }
    builder.commit_from_memory(file).map_err(text)
}

/// A provider that is there, or an error.
fn dispatch(provider: Provider) -> Result<ExecutionProviderDispatch, String> {
    fn known<P: ExecutionProvider + Into<ExecutionProviderDispatch>>(
        provider: P,
    ) -> Result<ExecutionProviderDispatch, String> {
        match provider.is_available() {
            Ok(true) => Ok(provider.into().error_on_failure()),
            Ok(false) => Err("this library was built without it".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
    match provider {
        Provider::Cpu => known(ep::CPU::default().with_arena_allocator(true)),
        Provider::Cuda => known(ep::CUDA::default()),
        Provider::TensorRt => known(ep::TensorRT::default()),
        Provider::CoreMl => known(ep::CoreML::default()),
        Provider::DirectMl => known(ep::DirectML::default()),
        Provider::OpenVino => known(ep::OpenVINO::default()),
    }
}
