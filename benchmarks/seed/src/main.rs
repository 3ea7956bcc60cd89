//! What the original (Codex, September 2025) does to record and to load, with its types for the items that the
//! benchmark records: a bounded channel, a task that writes and flushes line by line; a text read whole, each line
//! parsed to a value and that made into a typed item.
//!
//!     seed write ITEMS.jsonl FOLDER
//!     seed load ROLLOUT.jsonl

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Instant;
use time::format_description::FormatItem;
use time::OffsetDateTime;
use tokio::io::AsyncWriteExt;
use tokio::sync::{mpsc, oneshot};

#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ContentItem {
    InputText { text: String },
    InputImage { image_url: String },
    OutputText { text: String },
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ResponseItem {
    Message {
        #[serde(skip_serializing)]
        id: Option<String>,
        role: String,
        content: Vec<ContentItem>,
    },
    FunctionCall {
        #[serde(skip_serializing)]
        id: Option<String>,
        name: String,
        arguments: String,
        call_id: String,
    },
    FunctionCallOutput { call_id: String, output: String },
    #[serde(other)]
    Other,
}

#[derive(Clone, Serialize, Deserialize)]
struct SessionMeta {
    id: String,
    timestamp: String,
    cwd: String,
    originator: String,
    cli_version: String,
    instructions: Option<String>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "type", content = "payload", rename_all = "snake_case")]
enum RolloutItem {
    SessionMeta(SessionMeta),
    ResponseItem(ResponseItem),
    EventMsg(Value),
}

#[derive(Serialize, Deserialize)]
struct RolloutLine {
    timestamp: String,
    #[serde(flatten)]
    item: RolloutItem,
}

enum Command {
    AddItems(Vec<RolloutItem>),
    Shutdown { ack: oneshot::Sender<()> },
}

async fn writer(mut file: tokio::fs::File, mut commands: mpsc::Receiver<Command>, format: Vec<FormatItem<'static>>) {
    while let Some(command) = commands.recv().await {
        match command {
            Command::AddItems(items) => {
                for item in items {
                    let timestamp = OffsetDateTime::now_utc().format(&format).unwrap();
                    let mut json = serde_json::to_string(&RolloutLine { timestamp, item }).unwrap();
                    json.push('\n');
                    file.write_all(json.as_bytes()).await.unwrap();
                    file.flush().await.unwrap();
                }
            }
            Command::Shutdown { ack } => {
                let _ = ack.send(());
                return;
            }
        }
    }
}

async fn record(items: &[RolloutItem], folder: &str, calls: Option<&mut Vec<f64>>) -> f64 {
    let text = "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z";
    let format = time::format_description::parse(text).unwrap();
    let path = format!("{folder}/seed.jsonl");
    let _ = std::fs::remove_file(&path);
    let file = tokio::fs::OpenOptions::new().append(true).create(true).open(&path).await.unwrap();
    let (sender, receiver) = mpsc::channel(256);
    tokio::task::spawn(writer(file, receiver, format));
    let start = Instant::now();
    if let Some(calls) = calls {
        for item in items {
            let before = Instant::now();
            add(&sender, item).await;
            calls.push(before.elapsed().as_secs_f64());
        }
    } else {
        for item in items {
            add(&sender, item).await;
        }
    }
    let (ack, done) = oneshot::channel();
    let _ = sender.send(Command::Shutdown { ack }).await;
    done.await.unwrap();
    start.elapsed().as_secs_f64()
}

async fn add(sender: &mpsc::Sender<Command>, item: &RolloutItem) {
    let _ = sender.send(Command::AddItems(vec![item.clone()])).await;
}

async fn load(path: &str) -> (usize, f64) {
    let start = Instant::now();
    let text = tokio::fs::read_to_string(path).await.unwrap();
    let mut items = Vec::new();
    for line in text.lines() {
        if line.trim().is_empty() {
            continue;
        }
        if let Ok(value) = serde_json::from_str::<Value>(line) {
            if let Ok(line) = serde_json::from_value::<RolloutLine>(value.clone()) {
                items.push(line.item);
            }
        }
    }
    (items.len(), start.elapsed().as_secs_f64())
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments[1] == "load" {
        let (lines, seconds) = load(&arguments[2]).await;
        println!("{{\"lines\":{lines},\"seconds\":{seconds},\"rate\":{}}}", lines as f64 / seconds);
        return;
    }
    let text = std::fs::read_to_string(&arguments[2]).unwrap();
    let items: Vec<RolloutItem> =
        text.lines().map(|line| RolloutItem::ResponseItem(serde_json::from_str(line).unwrap())).collect();
    record(&items, &arguments[3], None).await;
    let seconds = record(&items, &arguments[3], None).await;
    let mut calls = Vec::new();
    record(&items, &arguments[3], Some(&mut calls)).await;
    println!("{{\"rate\":{},\"calls\":{}}}", items.len() as f64 / seconds, serde_json::to_string(&calls).unwrap());
}
