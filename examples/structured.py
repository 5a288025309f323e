"""Answers as values: JSON, a model, a list, a union; mended by the model, or by the next one. Runs without keys."""

import asyncio
from decimal import Decimal

from pydantic import BaseModel

from majordomo_cascade import LLMCascade, ProviderError, ResponseParsingError, ResponseValidationError
from majordomo_cascade.testing import Reply, Status, rehearse


class Invoice(BaseModel):
    number: str
    total: Decimal
    paid: bool = False


class Letter(BaseModel):
    sender: str


ONE = Reply('{"number": "A-17", "total": 99.50, "paid": null}')  # null: OpenAI's strict mode has no optional fields
MANY = Reply(
    '{"value": [{"number": "A-17", "total": 99.5, "paid": false}, {"number": "A-18", "total": 12, "paid": true}]}'
)
LETTER = Reply('{"value": {"sender": "Ann"}}')
WRONG = Reply('{"number": "A-17", "total": "a lot"}')
PROSE = Reply("The invoice is illegible, I am afraid.")
REFUSAL = Status(400, "'response_format' of type 'json_schema' is not supported with this model.")


async def types() -> None:
    """What comes back is of the type that was asked for."""
    anything = Reply('Here you are:\n```json\n{"currency": "EUR", "items": 3}\n```')
    with rehearse(LLMCascade(["openai/gpt-4.1"]), [anything, ONE, MANY, LETTER]) as rehearsal:
        ask = rehearsal.cascade
        print((await ask.get_json_response("What is on the invoice?")).content)

        invoice = (await ask.get_structured_json_response(Invoice, "Read the invoice.")).content
        print(invoice.number, invoice.total, invoice.paid)

        invoices = (await ask.get_structured_json_response(list[Invoice], "Read all invoices.")).content
        print([invoice.number for invoice in invoices if invoice.paid])

        match (await ask.get_structured_json_response(Invoice | Letter, "What is this?")).content:
            case Invoice(number=number):
                print("an invoice:", number)
            case Letter(sender=sender):
                print("a letter from", sender)


async def mistakes() -> None:
    """An answer of another type is an error; the model can be shown it, or the next one asked."""
    cascade = LLMCascade(["openai/gpt-4.1"])
    with rehearse(cascade, [WRONG, WRONG, ONE]) as rehearsal:
        try:
            await rehearsal.cascade.get_structured_json_response(Invoice, "Read the invoice.")
        except ResponseValidationError as error:
            print("error:", error)
        response = await rehearsal.cascade.get_structured_json_response(Invoice, "Read the invoice.", reasks=1)
        shown = rehearsal.providers[0].requests[-1].json["messages"][-1]["content"]
        print("reasked:", response.content.total, "after", shown.splitlines()[1])

    cascade = LLMCascade(
        ["openai/gpt-4.1", "gemini/gemini-2.5-flash"],
        failover_on=(ProviderError, ResponseParsingError),
    )
    with rehearse(cascade, PROSE, ONE) as rehearsal:
        response = await rehearsal.cascade.get_structured_json_response(Invoice, "Read the invoice.")
        print("failed over:", response.content.total, "from", response.provider)


async def ladder() -> None:
    """A provider that does not take a schema gets it in the prompt, from then on."""
    with rehearse(LLMCascade(["openai/gpt-4.1"]), [REFUSAL, ONE]) as rehearsal:
        for _ in range(2):
            response = await rehearsal.cascade.get_structured_json_response(Invoice, "Read the invoice.")
            rung = rehearsal.cascade.health[0].structured_output
            print(f"asked {len(response.attempts)} time(s), now by {rung}; failed over: {response.failed_over}")


async def main() -> None:
    await types()
    await mistakes()
    await ladder()


if __name__ == "__main__":
    asyncio.run(main())
