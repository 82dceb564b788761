"""One small, sound file of each format, invented."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

GENSEC: list[dict[str, Any]] = [
    {
        "need_prediction": "no",
        "emotion": "fru",
        "id": "Ses01F_script03_2_F000",
        "speaker": "Ses01_F",
        "groundtruth": "Where is my bag?",
        "whispertiny": "Where is my back?",
        "hubertlarge": "where is my bag",
    },
    {
        "need_prediction": "yes",
        "emotion": "neu",
        "id": "Ses01F_impro01_M000",
        "speaker": "Ses01_M",
        "groundtruth": "Good morning.",
        "whispertiny": "Good morning.",
        "hubertlarge": "",
    },
    {
        "need_prediction": "yes",
        "emotion": "ang",
        "id": "Ses01F_script03_2_M000",
        "speaker": "Ses01_M",
        "groundtruth": "You lost it again!",
        "whispertiny": "You lost it again!",
        "hubertlarge": "you lust it again",
    },
]

MELD = (
    "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode\r\n"
    '1,"So, it’s over?",Ann,sadness,negative,4,0,1,2\r\n'
    "2,It is.,Ben,neutral,neutral,4,2,1,2\r\n"
    "3,Great news!,Ann,joy,positive,7,0,1,2\r\n"
)

CPED = (
    "TV_ID,Dialogue_ID,Utterance_ID,Speaker,Gender,Age,Neuroticism,Extraversion,Openness,"
    "Agreeableness,Conscientiousness,Scene,FacePosition_LU,FacePosition_RD,Sentiment,Emotion,DA,"
    "Utterance\n"
    "91,91_000,91_000_000,安安,female,young,high,unknown,low,unknown,unknown,home,10_20,90_80,"
    "negative,depress,question,雨 怎么还没停\n"
    "91,91_000,91_000_001,老白,male,middle-aged,low,high,high,high,high,home,0_0,0_0,"
    "positive,positive-other,comfort,快了，别急\n"
    "91,91_000,91_000_003,其他,unknown,unknown,unknown,unknown,unknown,unknown,unknown,unknown,"
    "0_0,0_0,neutral,neutral,other,喂\n"
    "92,92_004,92_004_000,小满,unknown,elderly,unknown,unknown,unknown,unknown,low,other-venue,"
    "0_0,0_0,positive,happy,greeting,早上好\n"
)

EMORYNLP = (
    "Utterance,Speaker,Emotion,Scene_ID,Utterance_ID,Season,Episode,Start_Time,End_Time\n"
    "Hello there.,['Ann Lee'],Neutral,3,4,1,2,00:00:01.0,00:00:02.0\n"
    '"Oh, hi!","[""Ann\'s Boss"", \'Ben Roe\']",Joyful,3,5,1,2,00:00:02.0,00:00:03.0\n'
    "Go away.,[],Mad,12,1,1,2,00:00:05.0,00:00:06.0\n"
)

TOPICALCHAT: dict[str, Any] = {
    "t_1": {
        "article_url": "https://example.org",
        "content": [
            {
                "message": "Do you like tea?",
                "agent": "agent_1",
                "sentiment": "Curious to dive deeper",
                "knowledge_source": ["FS1"],
                "message_asr_A": "Do you like t?",
                "message_asr_B": "do you like tea",
            },
            {
                "message": "I do.",
                "agent": "agent_2",
                "sentiment": "Happy",
                "message_asr_A": "I do.",
                "message_asr_B": "",
            },
        ],
    },
    "t_2": {
        "content": [{"message": "Bad day.", "agent": "agent_1", "sentiment": "Sad"}],
    },
}

PLAIN: list[dict[str, Any]] = [
    {
        "id": "a0",
        "dialogue_id": "a",
        "turn": 0,
        "speaker": "Ann",
        "hypotheses": {"tiny": "so its over", "base": "So, it's over."},
        "emotion": "sad",
        "session": "one",
        "reference": "So it's over?",
        "profile": "woman, young",
        "scene": "kitchen",
        "stage": "farewell",
    },
    {
        "id": "a1",
        "dialogue_id": "a",
        "turn": 1,
        "speaker": "",
        "hypotheses": {"tiny": "mm", "base": "Hm."},
        "emotion": "bored",
        "needs_prediction": "no",
    },
    {
        "id": "b0",
        "dialogue_id": "b",
        "turn": 5,
        "speaker": "Ben",
        "hypotheses": {"tiny": "yes", "base": "Yes!"},
        "emotion": "glad",
        "needs_prediction": True,
    },
]

PLAIN_CSV = (
    "id,dialogue_id,turn,speaker,text,emotion,needs_prediction,scene,hypothesis:tiny\n"
    "a0,a,0,Ann,So it's over?,sad,yes,kitchen,so its over\n"
    'a1,a,1,,"Hm, well.",bored,no,,mm\n'
    "b0,b,5,Ben,Yes!,glad,true,,\n"
)


def json_lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


SOUND: dict[str, tuple[str, str]] = {
    "gensec": ("train.json", json.dumps(GENSEC, indent=1)),
    "meld": ("train_sent_emo.csv", MELD),
    "cped": ("train_split.csv", CPED),
    "emorynlp": ("emorynlp_train_final.csv", EMORYNLP),
    "topicalchat": ("train.json", json.dumps(TOPICALCHAT, indent=2)),
    "plain": ("corpus.jsonl", json_lines(PLAIN)),
    "plain csv": ("corpus.csv", PLAIN_CSV),
}
"""Format (and variant) -> file name and text."""


def put(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def put_sound(folder: Path, what: str) -> Path:
    return put(folder, *SOUND[what])
