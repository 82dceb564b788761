// What is not on the page of a large run, above every view.

const limit = make('p', { class: 'notes' }, data.limit);
document.getElementById('main').prepend(limit);
// The conversations take what is left of the window.
new ResizeObserver(() => document.getElementById('conversations').style.setProperty(
  '--head', `${limit.getBoundingClientRect().bottom + scrollY + 8}px`)).observe(limit);
