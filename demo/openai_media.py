"""OpenAI's images, speech and transcriptions; pure.

https://platform.openai.com/docs/api-reference/images and …/audio. Older models (dall-e,
tts-1, whisper-1) are billed by unit and tell no tokens, as at OpenAI.
"""

from demo.call import CREATED, JSON, Call, Reply, compact, count_tokens
from demo.openai_chat import DONE, data_event, pretty

IMAGE_TOKENS = 1056
AUDIO_TOKENS = 42
CLIP_SECONDS = 7


def images(call: Call, body: JSON) -> Reply:
    """POST /v1/images/generations"""
    count = int(body.get("n") or 1)
    model = call.behaviour.model or "gpt-image-1"
    if model.startswith("dall-e"):
        url = f"https://images.example/{call.hexadecimal()}.png"
        data = [{"revised_prompt": body.get("prompt", ""), "url": url}] * count
        return Reply([pretty({"created": CREATED, "data": data})])
    tokens = count_tokens(body.get("prompt", ""))
    usage = {
        "input_tokens": tokens,
        "input_tokens_details": {"image_tokens": 0, "text_tokens": tokens},
        "output_tokens": IMAGE_TOKENS * count,
        "total_tokens": tokens + IMAGE_TOKENS * count,
    }
    answer = {
        "created": CREATED,
        "background": "opaque",
        "data": [{"b64_json": call.base64(f"image {n}", 600)} for n in range(count)],
        "output_format": "png",
        "quality": "medium",
        "size": "1024x1024",
        **({"usage": usage} if call.behaviour.usage else {}),
    }
    return Reply([pretty(answer)])


def speech(call: Call, body: JSON) -> Reply:
    """POST /v1/audio/speech: audio bytes, or events where ``stream_format`` is sse."""
    sound = [call.octets(f"sound {n}", 1024) for n in range(4)]
    if body.get("stream_format") != "sse":
        return Reply(sound, content_type=b"audio/mpeg")
    tokens = count_tokens(body.get("input", ""))
    deltas = [
        {"type": "speech.audio.delta", "audio": call.base64(f"sound {n}", 1024)} for n in range(4)
    ]
    done: JSON = {"type": "speech.audio.done"}
    if call.behaviour.usage:
        done["usage"] = {
            "input_tokens": tokens,
            "output_tokens": AUDIO_TOKENS,
            "total_tokens": tokens + AUDIO_TOKENS,
        }
    return Reply.events([*(data_event(delta) for delta in deltas), data_event(done)])


def transcriptions(call: Call) -> Reply:
    """POST /v1/audio/transcriptions (multipart)"""
    words = call.words()
    text = "".join(words)
    if call.asked("response_format") == "text":
        return Reply([text.encode() + b"\n"], content_type=b"text/plain; charset=utf-8")
    usage = _transcription_usage(call, len(words)) if call.behaviour.usage else {}
    if not call.stream:
        return Reply([compact({"text": text, **usage})])
    events = [data_event({"type": "transcript.text.delta", "delta": word}) for word in words]
    done = data_event({"type": "transcript.text.done", "text": text, **usage})
    return Reply.events([*events, done, DONE])


def _transcription_usage(call: Call, output_tokens: int) -> JSON:
    if call.behaviour.model == "whisper-1":
        return {"usage": {"type": "duration", "seconds": CLIP_SECONDS}}
    return {
        "usage": {
            "type": "tokens",
            "total_tokens": AUDIO_TOKENS + output_tokens,
            "input_tokens": AUDIO_TOKENS,
            "input_token_details": {"text_tokens": 0, "audio_tokens": AUDIO_TOKENS},
            "output_tokens": output_tokens,
        }
    }
