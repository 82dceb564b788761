// Scores, and how the run was made.

const PURPOSES = {
  verdict: 'the verdicts', check: 'labelled windows', contentless: 'empty windows',
};

function showScores(place) {
  const { score } = data;
  if (!score) {
    place.append(make('h2', {}, 'Scores'),
      make('p', {}, 'No predicted utterance has a gold label, so nothing is scored.'), costs());
    return;
  }
  place.append(
    headline(score),
    make('div', { class: 'columns' }, confusion(score), perClass(score)),
    make('div', { class: 'columns' }, calibration(score), coverage(score)),
    ...slices(score),
    costs());
}

function headline(score) {
  const found = Object.keys(METRICS).filter((name) => typeof score[name] === 'number'
    && (name !== 'micro_f1' || score.micro_f1 !== score.accuracy));
  const baselines = Object.entries(score.baselines);
  const kept = `${percent(score.accuracy_of_kept)} % of the others right`;
  const facts = [
    `${count(score.n, 'utterance')} of ${count(score.dialogues, 'dialogue')} scored`,
    score.invalid > 0 && `${score.invalid} with an invalid answer`,
    score.errors > 0 && `${score.errors} with a failed call`,
    score.abstained > 0 && `${score.abstained} abstained, ${kept}`,
  ].filter(Boolean);
  const line = (name) => {
    const others = baselines.map(([, one]) => one[name]);
    return [METRICS[name], make('b', {}, percent(score[name])), range(score.intervals[name]),
      interval(score[name], score.intervals[name], others.filter((one) => one !== undefined)),
      ...others.map(percent)];
  };
  const heads = ['Metric', '%', '95 % interval', '0 to 100; ticks are the baselines'];
  return make('section', {}, make('h2', {}, 'Scores'), make('p', {}, `${facts.join('; ')}.`),
    table([...heads, ...baselines.map(([name]) => said(name))], found.map(line),
      { class: 'figures' }),
    score.bootstrap_samples > 0 && small('Intervals: dialogues resampled ',
      `${whole(score.bootstrap_samples)} times, seed ${score.seed}.`),
    noteList([...new Set([...score.notes, ...data.notes])]));
}

function confusion(score) {
  const { counts } = score.confusion;
  // The last column is "no label", whose number is -1.
  const columns = [...labels.keys()];
  if (counts.some((row) => row.at(NONE))) columns.push(NONE);
  const cell = (gold, label) => {
    const number = counts[gold].at(label);
    const sum = counts[gold].reduce((total, one) => total + one, 0);
    const words = `${number} of ${sum}: gold ${wordOf(gold)}, predicted ${wordOf(label)}`;
    return make('td', {
      class: gold === label ? 'cell hit' : 'cell',
      '--share': `${sum ? Math.round((50 * number) / sum) : 0}%`,
    }, number
      ? make('a', { href: address({ gold, label }), 'aria-label': words }, String(number))
      : make('span', { class: 'zero' }, '0'));
  };
  return make('section', {}, make('h3', {}, 'Confusion'),
    small('Rows: gold; columns: predicted. A number leads to its utterances.'),
    make('div', { class: 'scroll' }, make('table', { class: 'confusion' },
      make('thead', {}, make('tr', {}, make('th', { scope: 'col' }, 'gold'),
        columns.map((label) => make('th', { scope: 'col' }, chip(label))))),
      make('tbody', {}, [...labels.keys()].map((gold) => make('tr', {},
        make('th', { scope: 'row' }, chip(gold)),
        columns.map((label) => cell(gold, label))))))));
}

function perClass(score) {
  const line = (label, number) => {
    const own = score.per_class[label.name];
    return [
      chip(number), percent(own.precision), percent(own.recall), make('b', {}, percent(own.f1)),
      make('span', { class: 'track', 'aria-hidden': 'true' },
        make('span', { class: 'bar', '--share': `${100 * own.f1}%`, '--colour': label.colour })),
      whole(own.support),
    ];
  };
  return make('section', {}, make('h3', {}, 'Per label'),
    table(['Label', 'Precision', 'Recall', 'F1', '', 'Utterances'], labels.map(line),
      { class: 'figures' }));
}

function calibration({ calibration: found, reliability }) {
  if (!found) return null;
  return make('section', {}, make('h3', {}, 'Calibration'), reliabilityPlot(reliability),
    small(`Log loss ${fixed(found.log_loss, 3)}, Brier ${fixed(found.brier, 3)}, calibration `,
      `error ${fixed(found.ece, 3)}. Larger points stand for more utterances; on the dashed `,
      'line confidence is as good as it says.'));
}

function coverage({ selective, label_sets: sets }) {
  if (!selective) return null;
  return make('section', {}, make('h3', {}, 'Risk and coverage'), coveragePlot(selective.curve),
    small(`Area under the risk-coverage curve ${fixed(selective.aurc, 3)}, `,
      `${fixed(selective.excess_aurc, 3)} above the best order.`,
      sets && ` Label sets hold the gold label in ${percent(sets.coverage)} % and have `,
      sets && `${fixed(sets.mean_size)} labels on average.`));
}

function slices(score) {
  const found = Object.entries(score.slices ?? {});
  if (!found.length) return [];
  const heads = ['Group', 'Utterances', 'Accuracy', '95 % interval', '', 'Weighted F1'];
  const line = (group) => {
    const bounds = group.intervals.accuracy;
    return [said(group.group), whole(group.n), make('b', {}, percent(group.accuracy)),
      range(bounds), interval(group.accuracy, bounds, [score.accuracy]),
      percent(group.weighted_f1)];
  };
  return [make('h3', {}, 'Parts of the data'), make('div', { class: 'columns' },
    found.map(([name, groups]) => make('section', {}, make('h4', { dir: 'auto' }, `By ${name}`),
      table(heads, groups.map(line), { class: 'figures' }))))];
}

function costs() {
  const heads = [
    'Voter', 'On', 'Ballots', 'Invalid', 'Failed', 'Prompt tokens', 'of them cached',
    'Answer tokens', 'Cost', 'Median', 'Slowest', 'Sum',
  ];
  const line = (row) => [
    said(row.voter), PURPOSES[row.purpose] ?? row.purpose,
    whole(row.ballots), whole(row.invalid), whole(row.failed),
    ...[
      whole(row.prompt_tokens), whole(row.cached_tokens), whole(row.answer_tokens),
      dollars(row.cost),
      seconds(row.median_seconds), seconds(row.slowest_seconds), seconds(row.seconds),
    ].map((value) => (row.asked ? value : '–')),
  ];
  return make('section', {}, make('h3', {}, 'Cost and latency'),
    table(heads, data.cost.map(line), { class: 'figures' }),
    small('A dash: the index casts these ballots, or they came with a file; nobody is asked.'));
}

function showRun(place) {
  const value = (one) => said(typeof one === 'string' ? one : JSON.stringify(one));
  const settings = data.settings.map((one) => [make('code', {}, one.name),
    make(one.changed ? 'b' : 'span', {}, value(one.value))]);
  const rest = data.manifest.map((one) => [make('code', {}, said(one.name)), value(one.value)]);
  place.append(...[
    make('h2', {}, 'How it was made'),
    noteList(data.notes),
    ...data.panels.map(panelSection),
    make('h3', {}, 'Settings'),
    small('Those that are not the default are in bold.'),
    table(['Setting', 'Value'], settings, { class: 'plain' }),
    make('h3', {}, 'Data, index and models'),
    table(['Entry', 'Value'], rest, { class: 'plain' }),
  ].filter(Boolean));
}

function panelSection(panel, number) {
  const title = data.panels.length > 1 ? `Panel ${number + 1}` : 'Who counts how much';
  const line = (one) => [said(one.voter), fixed(one.weight), one.by ?? 'the index',
    String(one.windows ?? '–'), percent(one.accuracy)];
  return make('section', {}, make('h3', {}, title),
    table(['Voter', 'Weight', 'Known by', 'Windows', 'Accuracy there'], panel.voters.map(line),
      { class: 'figures' }),
    small(`Pool: ${panel.pool}. Prior correction ${fixed(panel.correction)}, temperature `,
      `${fixed(panel.temperature)}. `,
      !panel.has_sets && 'No label sets: a voter was tried on too few labelled windows. ',
      panel.own_strength === null ? 'The dialogue has no say.' : [
        `The dialogue's say (${panel.decoder}): ${fixed(panel.own_strength)} for the speaker's `,
        `last turn, ${fixed(panel.other_strength)} for the turn before.`]));
}
