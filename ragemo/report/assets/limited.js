// What is not on the page of a large run, above every view.

document.getElementById('main').prepend(make('p', { class: 'notes' }, data.limit));
