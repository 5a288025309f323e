"""Ask for values: JSON, a model, a list, a union. Corrected, or asked of the next provider.

Runs without keys.
"""

import asyncio
from decimal import Decimal

from pydantic import BaseModel

from majordomo_cascade import (
    LLMCascade,
    ProviderError,
    ResponseParsingError,
    ResponseValidationError,
    Target,
)
from majordomo_cascade.testing import Reply, Status, simulate


class Invoice(BaseModel):
    number: str
    total: Decimal  # the model is asked for a string, which keeps every digit
    paid: bool


class Letter(BaseModel):
    sender: str


ANYTHING = Reply('Here you are:\n```json\n{"currency": "EUR", "items": 3}\n```')
ONE = Reply('{"number": "A-17", "total": "99.50", "paid": false}')
MANY = Reply(
    '{"value": [{"number": "A-17", "total": "99.50", "paid": false}, '
    '{"number": "A-18", "total": "12", "paid": true}]}'
)
LETTER = Reply('{"value": {"sender": "Ann"}}')
WRONG = Reply('{"number": "A-17", "total": "a lot", "paid": false}')
PROSE = Reply("The invoice is illegible, I am afraid.")
REFUSAL = Status(400, "'response_format' of type 'json_schema' is not supported with this model.")


async def types() -> None:
    """The answer is of the type that was asked for."""
    cascade = LLMCascade(["openai/gpt-5.5"])
    with simulate(cascade, [ANYTHING, ONE, MANY, LETTER]) as simulation:
        response = await simulation.cascade.get_json_response("What is on the invoice?")
        print(response.content)

        ask = simulation.cascade.get_structured_json_response
        invoice = (await ask(Invoice, "Read the invoice.")).content
        print(invoice.number, invoice.total, invoice.paid)

        invoices = (await ask(list[Invoice], "Read all invoices.")).content
        print([invoice.number for invoice in invoices if invoice.paid])

        match (await ask(Invoice | Letter, "What is this?")).content:
            case Invoice(number=number):
                print("an invoice:", number)
            case Letter(sender=sender):
                print("a letter from", sender)


async def mistakes() -> None:
    """An answer of another type is an error, unless it is corrected or the next one is asked."""
    cascade = LLMCascade(["openai/gpt-5.5"])
    with simulate(cascade, [WRONG, WRONG, ONE]) as simulation:
        ask = simulation.cascade.get_structured_json_response
        try:
            await ask(Invoice, "Read the invoice.")
        except ResponseValidationError as error:
            print("error:", error)
        response = await ask(Invoice, "Read the invoice.", validation_retries=1)
        correction = simulation.providers[0].requests[-1].json["messages"][-1]["content"]
        print("corrected:", response.content.total, "after", correction.splitlines()[1])

    cascade = LLMCascade(
        ["openai/gpt-5.5", "gemini/gemini-3.8-flash"],
        failover_on=(ProviderError, ResponseParsingError),
    )
    with simulate(cascade, PROSE, ONE) as simulation:
        ask = simulation.cascade.get_structured_json_response
        response = await ask(Invoice, "Read the invoice.")
        print("failed over:", response.content.total, "from", response.provider)


async def modes() -> None:
    """A provider that refuses a schema as a parameter gets it in the prompt from then on."""
    target = Target("openai", "gpt-5.5", structured_output="json_schema")
    with simulate(LLMCascade([target]), [REFUSAL, ONE]) as simulation:
        for _ in range(2):
            ask = simulation.cascade.get_structured_json_response
            response = await ask(Invoice, "Read the invoice.")
            attempts = len(response.attempts)
            mode = simulation.cascade.health[0].structured_output
            print(f"asked {attempts} time(s), now by {mode}; failed over: {response.failed_over}")


async def main() -> None:
    await types()
    await mistakes()
    await modes()


if __name__ == "__main__":
    asyncio.run(main())
