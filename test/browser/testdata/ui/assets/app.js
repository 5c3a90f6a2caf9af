// A small web UI that signs in, asks who it is and signs out as LiteMaaS's does, call by call.
// /login?refresh is a client that LiteMaaS's is not: one that refreshes its token.

const roles = { admin: 'Administrator', 'admin-readonly': 'Administrator (read only)', user: 'User' };
const errors = { auth_failed: 'Sign-in failed. Please try again.', expired: 'Your session has expired. Please sign in again.' };

const page = document.getElementById('page');
const query = new URLSearchParams(location.search);

function make(tag, attributes = {}, ...children) {
  const e = Object.assign(document.createElement(tag), attributes);
  e.append(...children);
  return e;
}

function forget() {
  for (const key of ['access_token', 'refresh_token', 'token_expires_at']) localStorage.removeItem(key);
}

// call is every call but the one for who one is: a 401 is the end of the session.
async function call(method, path, body) {
  const headers = { 'Content-Type': 'application/json' };
  const token = localStorage.getItem('access_token');
  if (token) headers.Authorization = `Bearer ${token}`;
  const res = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  if (res.status === 401) {
    forget();
    location.assign('/login?session=expired');
  }
  if (!res.ok) throw new Error(`${method} ${path}: ${res.status}`);
  return res.json();
}

async function me() {
  const token = localStorage.getItem('access_token');
  if (!token) return null;
  const res = await fetch('/api/v1/auth/me', { headers: { Authorization: `Bearer ${token}` } });
  return res.ok ? res.json() : null;
}

// callback takes the token from behind the #.
async function callback() {
  const hash = new URLSearchParams(location.hash.slice(1));
  if (!hash.get('token')) return location.replace('/login?error=auth_failed');
  const token = decodeURIComponent(hash.get('token')).trim();
  localStorage.setItem('access_token', token);
  localStorage.setItem('refresh_token', hash.get('refresh_token') ?? token);
  if (hash.get('expires_in')) {
    localStorage.setItem('token_expires_at', String(Date.now() + 1000 * parseInt(hash.get('expires_in'), 10)));
  }
  await me();
  location.replace(sessionStorage.getItem('returnUrl') ?? '/');
}

async function login(config) {
  const why = errors[query.get('error')] ?? errors[query.get('session')];
  const button = make('button', { id: 'login', textContent: config.authMode === 'mock' ? 'Sign in as anybody' : 'Sign in' });
  button.onclick = async () => {
    const res = await fetch('/api/auth/login', {
      method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(query.has('refresh') ? { refresh: true } : {}),
    });
    if (!res.ok) return location.assign('/login?error=auth_failed');
    location.href = (await res.json()).authUrl;
  };
  page.replaceChildren(make('section', { className: 'alone' },
    make('h1', { textContent: 'Welcome' }),
    make('p', { textContent: 'Find models, subscribe to them, hold keys.' }),
    ...(why ? [make('p', { className: 'error', id: 'error', textContent: why })] : []),
    button));
}

async function logout() {
  let to = '/login';
  try {
    to = (await call('POST', '/api/auth/logout', {})).logoutUrl ?? to;
  } finally {
    forget();
  }
  location.href = to;
}

function tags(names) {
  return names.flatMap((name) => [make('span', { className: 'role', title: roles[name] ?? name, textContent: name }), ' ']);
}

function table(id, head, rows) {
  return make('table', { id },
    make('thead', {}, make('tr', {}, ...head.map((text) => make('th', { textContent: text })))),
    make('tbody', {}, ...rows.map((cells) => make('tr', {}, ...cells.map((cell) => make('td', {}, ...[cell].flat()))))));
}

async function home(user) {
  const facts = [['Name', user.name], ['E-mail', user.email], ['Username', user.username]];
  const sections = [
    make('section', {}, make('h2', { textContent: 'You' }), make('dl', {},
      ...facts.flatMap(([name, value]) => [make('dt', { textContent: name }), make('dd', { textContent: value })]),
      make('dt', { textContent: 'Roles' }), make('dd', { id: 'roles' }, ...tags(user.roles)))),
  ];
  const models = await call('GET', '/api/v1/models?limit=4');
  sections.push(make('section', {}, make('h2', { textContent: `Models (${models.pagination.total})` }),
    table('models', ['Model', 'Provider'], models.data.map((m) => [m.name, m.provider]))));
  const sessions = await call('GET', '/api/auth/sessions');
  sections.push(make('section', { className: 'wide' }, make('h2', { textContent: 'Where you are signed in' }),
    table('sessions', ['Since', 'Address', 'Program'], sessions.map((s) => [
      new Date(s.createdAt).toLocaleString('en-GB') + (s.isCurrent ? ' (this one)' : ''), s.ipAddress, s.userAgent]))));
  if (user.roles.some((r) => r === 'admin' || r === 'admin-readonly')) {
    const users = await call('GET', '/api/v1/users?limit=20');
    const row = (u) => [u.fullName ?? u.username, u.email, tags(u.roles), u.isActive ? 'active' : 'deactivated'];
    sections.push(make('section', { className: 'wide' }, make('h2', { textContent: `Users (${users.pagination.total})` }),
      table('users', ['Name', 'E-mail', 'Roles', 'Status'], users.data.map(row))));
  }
  document.getElementById('who').replaceChildren(
    make('span', { id: 'name', textContent: user.name }),
    make('button', { id: 'reload', textContent: 'Reload', onclick: () => home(user) }),
    make('button', { id: 'logout', textContent: 'Sign out', onclick: logout }));
  page.replaceChildren(...sections);
}

const [config] = await Promise.all([call('GET', '/api/v1/config'), call('GET', '/api/v1/config/admin-analytics')]);
document.getElementById('about').textContent = `Version ${config.version} · ${config.environment} · sign-in by ${config.authProvider}`;
if (location.pathname === '/auth/callback') {
  await callback();
} else if (location.pathname === '/login') {
  await login(config);
} else {
  const user = await me();
  if (user) {
    await home(user);
  } else {
    forget();
    location.replace('/login' + (query.size ? `?${query}` : ''));
  }
}
