"""A TCP relay that holds back what it carries, DELAY seconds each way.

It stands in for a long line where the kernel has no `tc netem`. Usage:
relay.py PORT ADDRESS TO DELAY. Everything that was read at one moment is written one
DELAY later, in its order; nothing is lost, and the width of the line is that of
loopback.
"""

import asyncio
import sys


async def carry(reader, writer, delay):
    held = asyncio.Queue()
    loop = asyncio.get_running_loop()

    async def deliver():
        while True:
            due, data = await held.get()
            await asyncio.sleep(due - loop.time())
            if not data:
                if writer.can_write_eof():
                    writer.write_eof()
                return
            writer.write(data)
            await writer.drain()

    task = asyncio.create_task(deliver())
    try:
        while data := await reader.read(1 << 16):
            held.put_nowait((loop.time() + delay, data))
    except ConnectionError:
        pass
    held.put_nowait((loop.time() + delay, b""))
    await task


async def main(port, address, to, delay):
    async def accept(reader, writer):
        there, back = await asyncio.open_connection(address, to)
        try:
            await asyncio.gather(carry(reader, back, delay), carry(there, writer, delay))
        except ConnectionError:
            pass
        finally:
            back.close()
            writer.close()

    async with await asyncio.start_server(accept, "127.0.0.1", port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
