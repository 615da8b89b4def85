//! `devices`: what can compute here.

use anyhow::Result;
use serde_json::json;
use stainfree_inference::{Device, onnx_runtime_providers};

use crate::Context;
use crate::failure::Outcome;
use crate::output::{self, Json};

/// Show what can compute on this machine
#[derive(clap::Args)]
#[command(after_help = "Example:\n  stainfree devices")]
pub(crate) struct Devices {
    #[command(flatten)]
    json: Json,
}

impl Devices {
    pub(crate) fn run(&self, context: &Context) -> Result<Outcome> {
        self.json.check(&["devices", "onnxruntime"])?;
        let cpu = cpu_name();
        let isa = instruction_set();
        let threads = context.machine.threads();
        let others = onnx_runtime_providers();
        let named: Vec<String> = others
            .iter()
            .flatten()
            .map(|&provider| Device::OnnxRuntime(provider).to_string())
            .collect();
        let mut devices = vec![json!({"name": "cpu", "cpu": cpu, "isa": isa, "threads": threads})];
        devices.extend(named.iter().map(|name| json!({ "name": name })));
        let lacking = others.err().map(|error| error.to_string());
        self.json
            .write(&json!({ "devices": devices, "onnxruntime": lacking }))?;
        let own = ["cpu".to_owned(), cpu, isa.to_owned(), threads.to_string()].to_vec();
        let other = |name: String| vec![name, "ONNX Runtime".into(), "".into(), "".into()];
        let rows: Vec<Vec<String>> = [own]
            .into_iter()
            .chain(named.into_iter().map(other))
            .collect();
        let head = ["device", "what", "instructions", "threads"];
        self.json.print(&output::table(&head, &rows, 3))?;
        if let Some(lacking) = lacking {
            self.json.print(&format!("\nNo other device: {lacking}."))?;
        }
        Ok(Outcome::Done)
    }
}

/// The processor's name as the system gives it.
pub(crate) fn cpu_name() -> String {
    std::fs::read_to_string("/proc/cpuinfo")
        .ok()
        .and_then(|text| {
            text.lines()
                .find(|line| line.starts_with("model name"))
                .and_then(|line| line.split_once(':'))
                .map(|(_, name)| name.trim().to_owned())
        })
        .unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

/// The widest instruction set that the kernels can use here.
pub(crate) fn instruction_set() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            return if is_x86_feature_detected!("avx512bf16") {
                "avx512bf16"
            } else {
                "avx512f"
            };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            return "avx2";
        }
    }
    "portable"
}
