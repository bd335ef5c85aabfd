// Takes what one component asks to a component in another part of the page, and the answer back: the
// server runs only the part in which the question arrives.

const relays = {}; // by name

export default function ({ data, setTriggerValue }) {
  const { name, told, heard } = data, relay = (relays[name] ??= { serial: 0 });
  relay.serial = Math.max(relay.serial, heard);
  relay.send = setTriggerValue;
  relay.ask ??= (event) => {
    event.preventDefault(); // it has arrived
    relay.serial += 1;
    relay.send("asked", [relay.serial, event.detail]);
  };
  document.addEventListener(`mmc-ask-${name}`, relay.ask);
  const latest = heard === relay.serial; // else another question is under way
  if (latest) document.dispatchEvent(new CustomEvent(`mmc-tell-${name}`, { detail: told }));
  return () => document.removeEventListener(`mmc-ask-${name}`, relay.ask);
}
