// What a person's skin always is, painted once: colour and gloss, relief and eyelids. Lengths in cm of the rest head.
in vec3 v_rest;
uniform sampler3D u_noise;
uniform sampler2D u_mask_a;    // lip distance, brow across, brow along, beard
uniform sampler2D u_mask_b;    // wrinkles, eye bags, blush, moustache
uniform vec3 u_skin;
uniform vec3 u_lip;
uniform vec3 u_brow;
uniform vec3 u_brow_shape;     // thickness, density, coarseness
uniform vec4 u_marks;          // redness, freckles, age, bags
uniform vec2 u_surface;        // oiliness, mottling
uniform vec4 u_moles[4];
uniform vec3 u_person;         // noise offset
layout(location = 0) out vec4 o_albedo;   // square root of the linear colour, gloss
layout(location = 1) out vec4 o_relief;   // slope along x and y (a half is flat), lips, eyelids

vec4 noise(vec3 p, float cell) { return texture(u_noise, p / (32.0 * cell) + u_person) - 0.5; }
vec2 place(vec3 p) { return vec2((p.x + 10.0) / 20.0, (p.y + 14.0) / 28.0); }

// Round spots, one to a cubic cell at most, of different sizes and darkness.
float dots(vec3 p, float cell, float share) {
    vec3 q = p / cell + 64.0;
    vec4 random = texture(u_noise, (floor(q) + 0.5) / 32.0);
    vec4 other = texture(u_noise, (floor(q).zxy + 7.5) / 32.0);
    float radius = 0.16 + 0.20 * other.r;
    float d = distance(fract(q), 0.5 + 0.5 * (random.rgb - 0.5));
    return smoothstep(radius, 0.45 * radius, d) * step(random.a, share) * (0.5 + 0.5 * other.g);
}

float brow_strokes(vec3 p) {
    float turn = mix(0.25, 1.35, smoothstep(1.0, 5.2, abs(p.x)));   // inner hairs stand up, outer ones lie outwards
    vec2 along = vec2(sign(p.x) * sin(turn), cos(turn));
    float across = dot(p.xy, vec2(along.y, -along.x)), lengthwise = dot(p.xy, along);
    float fine = texture(u_noise, vec3(across / (32.0 * 0.075), lengthwise / (32.0 * 0.75), 0.31) + u_person.zxy).a;
    float wide = texture(u_noise, vec3(across / (32.0 * 0.16), lengthwise / (32.0 * 1.1), 0.77) + u_person).g;
    return mix(fine, wide, 0.45);
}

void main() {
    vec3 p = v_rest;
    float front = smoothstep(-1.0, 2.0, p.z);
    vec4 a = texture(u_mask_a, place(p));
    vec4 b = texture(u_mask_b, place(p)) * front;
    float dark = smoothstep(0.22, 0.04, dot(u_skin, vec3(0.3, 0.6, 0.1)));
    vec4 wide = noise(p, 2.4), middle = noise(p.yzx, 1.1), small = noise(p.zxy, 0.45), spot = noise(p, 0.22), pore = noise(p.yxz, 0.09);

    vec3 skin = u_skin * (1.0 + u_surface.y * (0.12 * wide.r + 0.07 * middle.r + 0.12 * small.r + 0.06 * spot.r) + 0.07 * pore.r);
    float ear = smoothstep(7.4, 8.6, abs(p.x)) * step(-3.0, p.y) * step(p.y, 6.5);
    float lid = smoothstep(1.30, 0.75, length(vec2((abs(p.x) - 3.2) / 2.15, (p.y - 3.50) / 1.15))) * front;
    float red = b.b * u_marks.x + 0.5 * ear + 0.30 * lid + 0.35 * middle.g + 0.25 * small.g + 0.20 * spot.g;
    skin *= mix(vec3(1.0), mix(vec3(1.05, 0.80, 0.76), vec3(0.96, 0.84, 0.82), dark), clamp(red, 0.0, 1.0));
    skin *= mix(vec3(1.0), vec3(1.0, 0.985, 0.93), clamp(0.6 - red, 0.0, 0.6));
    skin *= mix(vec3(1.0), vec3(0.88, 0.80, 0.80), lid * mix(0.6, 0.9, dark));
    skin *= mix(vec3(1.0), vec3(0.72, 0.62, 0.66), b.g * u_marks.w);
    float spots = dots(p, 0.42, 0.6) + dots(p.yzx, 0.27, 0.6) + 0.7 * dots(p.zxy, 0.19, 0.5);
    skin *= mix(vec3(1.0), vec3(0.72, 0.57, 0.46), clamp(1.2 * spots * (0.25 + b.b) * front * u_marks.y, 0.0, 0.75));
    float aged = smoothstep(0.27, 0.36, small.a + 0.3 * middle.a) * smoothstep(0.45, 1.0, u_marks.z) * front;
    skin *= mix(vec3(1.0), vec3(0.80, 0.70, 0.62), 0.6 * aged);
    skin *= mix(vec3(1.0), vec3(0.70, 0.60, 0.56), clamp(b.r * u_marks.z, 0.0, 1.0));
    for (int i = 0; i < 4; i++)
        skin *= mix(vec3(1.0), vec3(0.30, 0.20, 0.16), smoothstep(1.05, 0.55, distance(p, u_moles[i].xyz) / max(u_moles[i].w, 1e-4)));

    float zone = exp(-p.x * p.x / 6.0) * step(0.0, p.y) * front;     // forehead and nose shine more
    float gloss = (0.42 + 0.45 * zone + 0.15 * lid) * u_surface.x * (1.0 + 0.5 * spot.a);
    float lip = smoothstep(0.10, -0.13, a.r) * step(6.0, p.z);
    float chap = noise(vec3(p.x, p.y * 0.18, 0.0), 0.11).b;
    vec3 lips = u_lip * (1.0 + 0.16 * chap + 0.12 * small.r) * mix(vec3(0.82, 0.76, 0.76), vec3(1.0), smoothstep(0.0, -0.42, a.r));
    skin = mix(skin, lips, lip * 0.88);
    gloss = mix(gloss, 0.75, lip);

    if (a.g < 2.0 * u_brow_shape.x && p.z > 5.0) {
        float strokes = brow_strokes(p);
        float body = 1.0 - a.g / u_brow_shape.x;                     // 1 on the brow's middle line, 0 at its edge
        float brow = smoothstep(0.0, 0.62, body + u_brow_shape.z * (strokes - 0.55)) * a.b;
        brow *= mix(0.70, 1.0, smoothstep(0.35, 0.65, strokes + 0.5 * body));
        skin = mix(skin, u_brow * (0.75 + 0.5 * strokes), brow * u_brow_shape.y);
        gloss *= 1.0 - brow;
    }
    // relief: noise vectors stand for the gradients of pores and unevenness; wrinkles are differentiated
    vec2 slope = (0.16 * pore.gb + 0.10 * spot.gb + 0.05 * u_surface.y * small.gb) * (1.0 - lip);
    const float e = 0.06;
    float across = texture(u_mask_b, place(p + vec3(e, 0.0, 0.0))).r, up = texture(u_mask_b, place(p + vec3(0.0, e, 0.0))).r;
    slope -= 0.075 * u_marks.z * front * (vec2(across, up) * front - b.r) / e;
    slope.x += lip * 0.22 * chap;
    o_albedo = vec4(sqrt(clamp(skin, 0.0, 1.0)), clamp(gloss, 0.0, 1.0));
    o_relief = vec4(clamp(slope * 1.2 + 0.5, 0.0, 1.0), lip, lid);
}
