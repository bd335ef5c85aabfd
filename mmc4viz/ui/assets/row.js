// Scrolls the list of documents to the row of the open one, which st.dataframe cannot do itself.

const shown = new WeakMap();

export default function ({ parentElement, data }) {
  const list = parentElement.getRootNode().host?.closest("[data-testid=stColumn]") ?? document;
  const place = `${data.page} ${data.row}`;
  if (data.row === null || shown.get(list) === place) return;
  let tries = 60; // frames until the table is drawn
  const scroll = () => {
    const table = list.querySelector("[data-testid=stDataFrame] .dvn-scroller");
    if (!table || table.scrollHeight <= table.clientHeight) return tries-- > 0 && requestAnimationFrame(scroll);
    const top = data.row * data.height, room = table.clientHeight - 2 * data.height; // without the header
    shown.set(list, place);
    if (top < table.scrollTop || top > table.scrollTop + room) table.scrollTop = Math.max(0, top - room / 2);
  };
  scroll();
}
