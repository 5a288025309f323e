"""A script without async: text, a value of a type, a stream, and threads. Runs without keys."""

from concurrent.futures import ThreadPoolExecutor

from pydantic import BaseModel

from majordomo_cascade import LLMCascade
from majordomo_cascade.testing import Reply, Status, simulate


class City(BaseModel):
    name: str
    people: int


cascade = LLMCascade([("anthropic", "claude-sonnet-5-5"), ("openai", "gpt-5.4-mini")])


def main(cascade: LLMCascade) -> None:
    response = cascade.sync.get_response("Who runs the house?")
    print(response.content, "from", response.provider)

    city = cascade.sync.get_structured_json_response(City, "Name a city.").content
    print(f"{city.name} has {city.people:,} people")

    for text in cascade.sync.get_response_stream("Count."):
        print(text, end=" …")
    print()

    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(cascade.sync.get_response, [f"Question {i}" for i in range(8)])
        print(sum(answer.content == "Yes." for answer in answers), "answers from 8 threads")


if __name__ == "__main__":
    # A simulated outage, so that this runs anywhere. With keys, call main(cascade).
    fallback = [
        Reply("The majordomo."),
        Reply('{"name": "Rome", "people": 2800000}'),
        Reply("one two three"),
        Reply("Yes."),
    ]
    with simulate(cascade, Status(503), fallback) as simulation:
        main(simulation.cascade)
